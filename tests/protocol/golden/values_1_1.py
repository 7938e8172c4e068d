"""What the golden frames of protocol 1.1 say, as values: the messages that it added, and those that it extended.

What stands in `values_1_0` alone has not changed since.
"""

from octree_protocol.keys import ChunkKey
from octree_protocol.messages import (
    Ack,
    Announce,
    ArenaStatus,
    ClientMessage,
    ClientStatus,
    ClusterStatus,
    DaemonMessage,
    DatasetStatus,
    Failure,
    Inline,
    LevelProgress,
    LoadTime,
    Part,
    PoolStatus,
    Ready,
    Status,
)

FROM_CLIENT: dict[str, ClientMessage] = {
    "inline": Inline(("zstd", "lz4")),
    "inline-least": Inline(),
    "ack": Ack(1 << 40),
    "ack-least": Ack(0),
}

FROM_DAEMON: dict[str, DaemonMessage] = {
    "announce": Announce(
        (Ready(ChunkKey(3, 1, (0, 0, 1, 1)), 4096, 12, "<u2", (1, 1, 94, 244), 1_234_567_890_123),),
        (ChunkKey(3, 0, (0, 0, 2, 3)),),
        (Failure(ChunkKey(3, 0, (1, 0, 0, 0)), "the chunk is cut off"),),
        (LoadTime(3, 1.25),),
        (LevelProgress(3, 40, 85),),
        ("zstd",),
        "the dask scheduler tls://10.0.0.7:8786 does not answer",
    ),
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
        cluster=ClusterStatus("away", 2, 8, 1, "the dask scheduler tls://10.0.0.7:8786 does not answer", True),
        about=6,
    ),
    "part": Part(ChunkKey(3, 1, (0, 0, 1, 1)), 1 << 18),
    "part-least": Part(ChunkKey(0, 0, ())),
}
