"""What the golden frames of protocol 1.1 say, as values: the messages that it added, and those that it extended.

What stands in `values_1_0` alone has not changed since.
"""

from octree_protocol.keys import ChunkKey
from octree_protocol.messages import (
    Ack,
    Announce,
    ClientMessage,
    DaemonMessage,
    Failure,
    Inline,
    LevelProgress,
    LoadTime,
    Part,
    Ready,
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
    ),
    "part": Part(ChunkKey(3, 1, (0, 0, 1, 1)), 1 << 18),
    "part-least": Part(ChunkKey(0, 0, ())),
}
