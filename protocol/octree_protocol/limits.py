"""Every number that bounds what a peer can cost us, each with its reason. No code.

Sizes in bytes, times in seconds.
"""

#: A frame is at most this long. A Want of `WANTS_PER_VIEW` five-dimensional chunks takes about 250 KiB.
FRAME_BYTES = 1 << 20

#: Chunks that one view may want at once: a 4K screen at the finest tiles (64 pixels) has about 2,000 cells.
WANTS_PER_VIEW = 8192

#: Views that one client may hold at once: layers of its windows, and reads under way.
VIEWS_PER_CLIENT = 256

#: Chunks of one kind (filled, missing, failed) in one Announce: what fits a frame at 32 bytes each.
ANNOUNCED = FRAME_BYTES // 32

#: Axes of a dataset. OME-Zarr has at most five; samples of an RGB image are one more.
AXES = 8

#: Channels of a dataset that are described; imaging mass cytometry has some hundred.
CHANNELS = 1024

#: Levels of a dataset: enough to halve 2**63 voxels to one.
LEVELS = 64

#: Datasets that a daemon names.
DATASETS = 4096

#: What is quoted of a frame that is no message: enough to recognise it, short enough for a log.
REASON_CHARACTERS = 500

#: Text in a message: a path of the operating system's maximum length and a sentence around it.
TEXT_CHARACTERS = 8192

#: Edge of an image in voxels. Beyond 2**52 a float64 does not tell neighbouring voxels apart.
EXTENT_VOXELS = 1 << 52

#: Payload of one chunk: eight of them fill a frame's upload budget on a slow machine; planning cuts what is larger.
CHUNK_BYTES = 8 << 20

#: Both sides say something at least this often ...
HEARTBEAT_INTERVAL = 1.0

#: ... and a peer that has been silent for so long is taken for dead. A viewer says so within 4 s; what a dead viewer
#: had pinned is free within 5 s.
HEARTBEAT_TIMEOUT = 3.5

#: Bytes of chunks that one message brings along: a fraction of what may be under way. Over slow links the daemon sends
#: less at a time, so that heartbeats are not held up for long.
PART_BYTES = 512 << 10

#: Bytes that a client may have under way to it, unacknowledged, at most: beyond that it does not read, and is dropped.
UNDER_WAY_BYTES = 4 << 20

#: A client acknowledges what it receives at least after so many bytes, and with every heartbeat.
ACKNOWLEDGE_BYTES = 512 << 10

#: Nothing of what is under way has been acknowledged for so long: the client does not read. Seconds.
ACKNOWLEDGE_TIMEOUT = 5.0

#: Chunks that all views of a client may want together: four screens full of the smallest tiles.
WANTS_PER_CLIENT = 4 * WANTS_PER_VIEW

#: What a client may say in a second, besides `Ack`, in the long run: eight layers at 144 frames a second ...
MESSAGES_PER_SECOND = 1200

#: ... and at once, after it was quiet: all its views, several times over.
MESSAGES_AT_ONCE = 4800

#: Messages queued for one client before it counts as one that has stopped reading, and is dropped.
SEND_QUEUE_MESSAGES = 2000
