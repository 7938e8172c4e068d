"""What the golden frames of protocol 1.0 say, as values. Frozen with its release: a later version gets its own file.

Each message stands here twice: with every field set to something that is not its default, and with as little as it can
have (``-least``).
"""

from octree_protocol.geometry import Axis, Channel, Dataset, Level
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import (
    Announce,
    ArenaAddress,
    ArenaStatus,
    AskStatus,
    Bye,
    ClientMessage,
    ClientStatus,
    DaemonMessage,
    DatasetStatus,
    Describe,
    Described,
    Failure,
    Farewell,
    Hello,
    LevelProgress,
    LoadTime,
    Ping,
    Pong,
    PoolStatus,
    Ready,
    Refused,
    Status,
    ViewerSettings,
    Want,
    Wanted,
    Welcome,
)

_DATASET = Dataset(
    3,
    "cells",
    (Axis("t", "time", "second"), Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x")),
    "<u2",
    (
        Level((2, 1, 700, 1000), (1, 1, 256, 256), (0.5, 1.0, 0.25, 0.25), (0.0, 0.0, 0.0, 0.0)),
        Level((2, 1, 350, 500), (1, 1, 256, 256), (0.5, 1.0, 0.5, 0.5), (0.0, 0.0, 0.125, 0.125)),
    ),
    rgb=False,
    fill_value=7.5,
    kind="labels",
    channels=(Channel("nuclei", "#00ff88", (100.0, 4000.5)),),
)

FROM_CLIENT: dict[str, ClientMessage] = {
    "hello": Hello((1, 0), "octree-view", 4321),
    "hello-least": Hello((1, 0)),
    "describe": Describe("cells", 17),
    "describe-least": Describe("cells"),
    "want": Want(
        2,
        99,
        (
            Wanted(ChunkKey(3, 1, (0, 0, 1, 1)), 1, Tier.VISIBLE, 0),
            Wanted(ChunkKey(3, 0, (0, 0, 2, 3)), 0, Tier.PREFETCH, 70_000),
            Wanted(ChunkKey(3, 0, (1, 0, 0, 0)), -2, Tier.RECENT, 3),
        ),
    ),
    "want-least": Want(0, 0),
    "ping": Ping(5),
    "ping-least": Ping(),
    "ask-status": AskStatus(6),
    "ask-status-least": AskStatus(),
    "bye": Bye(),
}

FROM_DAEMON: dict[str, DaemonMessage] = {
    "welcome": Welcome(
        (1, 0),
        "5f2a9c",
        ("cells", "tissue"),
        ViewerSettings(512, False, True, 12.5, "/var/log/octree.log"),
        ArenaAddress("/dev/shm/octree-serve-5f2a9c", 1 << 30, "ab" * 32),
    ),
    "welcome-least": Welcome((1, 0), "5f2a9c"),
    "described": Described(_DATASET, 17),
    "described-least": Described(Dataset(0, "", (), "|u1", ())),
    "announce": Announce(
        (Ready(ChunkKey(3, 1, (0, 0, 1, 1)), 4096, 12, "<u2", (1, 1, 94, 244), 1_234_567_890_123),),
        (ChunkKey(3, 0, (0, 0, 2, 3)),),
        (Failure(ChunkKey(3, 0, (1, 0, 0, 0)), "the chunk is cut off"),),
        (LoadTime(3, 1.25),),
        (LevelProgress(3, 40, 85),),
    ),
    "announce-least": Announce(),
    "pong": Pong(5),
    "pong-least": Pong(),
    "refused": Refused("no-dataset", "there is no dataset 'cells'", 17),
    "refused-least": Refused("malformed", ""),
    "farewell": Farewell("stopped by SIGTERM"),
    "farewell-least": Farewell(),
    "status": Status(
        "0.1.0",
        77,
        12.5,
        "5f2a9c",
        ("ipc:///run/user/1000/octree-serve/default",),
        ArenaStatus(1 << 30, 1 << 20, 1 << 21, 1 << 22, 8),
        (PoolStatus(0, "processes", 2, 4, 5, 6, 1, 1000, 2, 1),),
        (DatasetStatus("cells", "cells.zarr", "open", 1.25, 1000, 131_072_000, 3, 2, 250.0, 32_768_000.0, 40, 85),),
        (ClientStatus("octree-view", 4321, 1, 20, 18, 0.25),),
        requests_forgotten=40,
        requests_started=1000,
        requests_forgotten_loading=7,
        about=6,
    ),
    "status-least": Status("", 0, 0.0, "", (), ArenaStatus(0, 0, 0, 0, 0), (), (), ()),
}
