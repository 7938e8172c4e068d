"""Bad data and bad peers: a clear error where it belongs, and nothing else harmed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from tests.system.daemons import Daemon, Peer, wait_for
from tests.system.factories import plane
from tests.system.obedience import Obedience

import octree_client
from octree_client.transport.connection import Connection
from octree_client.transport.inbox import Lost
from octree_client.transport.received import ReceivedChunks
from octree_loader.demo.pyramid import write_pyramid
from octree_protocol import PROTOCOL_VERSION, codec, limits
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Describe, Hello, Ping, Pong, Refused, Want, Wanted, Welcome

Start = Callable[..., Daemon]

EDGE, CHUNK = 1024, 128


@pytest.fixture
def pixels() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(1, 60_000, (EDGE, EDGE)).astype(np.uint16)


@pytest.fixture
def pyramid(folder: Path, pixels: np.ndarray) -> Path:
    """OME-Zarr 0.5, checked by nothing but its compressor."""
    return write_pyramid(folder / "p.zarr", pixels, chunk=CHUNK, codec="lz4")


@pytest.fixture(scope="module")
def image(module_folder: Path) -> Obedience:
    return Obedience(module_folder / "image")


@pytest.fixture(scope="module")
def daemon(start_module_daemon: Start, image: Obedience) -> Daemon:
    return start_module_daemon(
        {
            "octree": {"tile_size": 64, "loaders": {}},
            "loader_defaults": {"delay_queue_ms": 0, "num_workers": 2},
            "datasets": {"image": image.source},
        }
    )


@pytest.fixture
def bystander(daemon: Daemon) -> Iterator[octree_client.Session]:
    """A client that is there all the while; it is asked in the end whether it was harmed."""
    with octree_client.connect(daemon.address) as session:
        level = session.dataset().levels[0]
        np.testing.assert_array_equal(level[:100], plane(0, (512, 512))[:100])
        was_lost: list[object] = []
        inbox = session.connection.open_view(lambda: None)
        yield session
        was_lost += [event for event in inbox.take() if isinstance(event, Lost)]
        assert not was_lost
        np.testing.assert_array_equal(level[300:], plane(0, (512, 512))[300:])
        session.connection.close_view(inbox)


harms_nobody = pytest.mark.usefixtures("bystander")


def file_of(pyramid: Path, row: int, column: int) -> Path:
    return pyramid / "0" / "c" / str(row) / str(column)


def spoil(file: Path, how: str) -> bytes:
    """Damage a chunk; returns what it was."""
    good = file.read_bytes()
    bad = {
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "corrupt": b"\xff" * 64 + good[64:],
        "of another size": good + good,
    }
    file.write_bytes(bad[how])
    return good


# --- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["truncated", "empty", "corrupt"])
def test_a_bad_chunk_fails_by_name_its_neighbours_do_not_and_retry_makes_it_whole(
    pyramid: Path, pixels: np.ndarray, how: str
) -> None:
    good = spoil(file_of(pyramid, 1, 1), how)
    settings = {"memory": {"arena_bytes": "64MiB"}, "octree": {"tile_size": CHUNK}}
    with (
        octree_client.open(pyramid, settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(384, 384), visible=False) as viewer,
    ):
        viewer.layers[0].interpolation = "nearest"
        viewer.layers[0].contrast_limits = (0, 60_000)
        viewer.set_view(center=(191.5, 191.5), pixel_size=1.0)
        viewer.wait_until_final(30)
        status = viewer.status()
        assert (status.final, status.failed) == (8, 1)
        assert list(viewer.layers[0].failures) == [(0, 1, 1)]
        (reason,) = viewer.layers[0].failures.values()
        assert str(file_of(pyramid, 1, 1).relative_to(pyramid)) in reason
        expected = np.rint(pixels[:384, :384] / 60_000 * 255)
        inner = np.zeros((384, 384), bool)
        inner[CHUNK : 2 * CHUNK, CHUNK : 2 * CHUNK] = True
        picture = viewer.render()[..., 0].astype(float)
        assert np.abs(picture - expected)[~inner].max() <= 1
        # Scripts are told too, and only if they ask for it.
        level = session.dataset().levels[0]
        np.testing.assert_array_equal(level[:CHUNK], pixels[:CHUNK])
        with pytest.raises(octree_client.ChunkUnreadable, match=r"chunk \(1, 1\)"):
            level[:, 200]

        file_of(pyramid, 1, 1).write_bytes(good)
        assert viewer.retry() == 1
        viewer.wait_until_final(30)
        assert (viewer.status().final, viewer.status().failed) == (9, 0)
        assert np.abs(viewer.render()[..., 0] - expected).max() <= 1
        np.testing.assert_array_equal(level[:, 200], pixels[:, 200])


def test_a_path_that_is_not_there_is_said_when_the_dataset_is_asked_for(folder: Path) -> None:
    with octree_client.open(folder / "nothing.zarr", settings={"memory": {"arena_bytes": "16MiB"}}) as session:
        assert session.datasets() == ("nothing",)
        with pytest.raises(octree_client.DatasetUnavailable, match=r"nothing\.zarr"):
            session.dataset()
        with pytest.raises(octree_client.DatasetUnavailable, match="no dataset named 'other'"):
            session.dataset("other")
        # It is looked for anew each time that it is asked for.
        write_pyramid(folder / "nothing.zarr", np.ones((50, 50), np.uint8))
        assert session.dataset().levels[0][3, 3] == 1


def test_a_factory_that_fails_names_what_happened() -> None:
    settings = {"memory": {"arena_bytes": "16MiB"}}
    sources = {"broken": "tests.system.factories:broken", "absent": "tests.system.factories:absent"}
    with octree_client.open(datasets=sources, settings=settings) as session:
        with pytest.raises(octree_client.DatasetUnavailable, match="the microscope is on fire"):
            session.dataset("broken")
        with pytest.raises(octree_client.DatasetUnavailable, match="has no absent"):
            session.dataset("absent")


@pytest.mark.parametrize("lie", ["dtype", "shape", "chunk"])
def test_metadata_that_lies_costs_the_chunks_and_nothing_else(
    pyramid: Path, start_daemon: Start, image: Obedience, lie: str
) -> None:
    """The files hold something else than ``zarr.json`` says."""
    file = pyramid / "0" / "zarr.json"
    said = json.loads(file.read_text())
    if lie == "dtype":
        said["data_type"] = "float64"
        said["fill_value"] = 0.0
    elif lie == "shape":
        said["shape"] = [10 * EDGE, 10 * EDGE]
    else:
        said["chunk_grid"]["configuration"]["chunk_shape"] = [CHUNK // 2, CHUNK * 4]
    file.write_text(json.dumps(said))
    daemon = start_daemon({"datasets": {"lying": str(pyramid), "image": image.source}})
    with octree_client.connect(daemon.address) as session:
        honest = session.dataset("image")
        try:
            level = session.dataset("lying").levels[0]
        except octree_client.DatasetUnavailable as error:
            assert str(pyramid) in str(error)  # noqa: PT017 - either may happen, and each has its rule
        else:
            if lie == "shape":
                assert not level[-10:, -10:].any(), "beyond what is stored there is the fill value"
            else:
                with pytest.raises(octree_client.ChunkUnreadable):
                    level[:CHUNK, :CHUNK]
        assert honest.levels[2][:].any()
        assert daemon.status().pid == daemon.pid


def test_a_dataset_that_changes_its_dtype_is_refused_by_the_workers(folder: Path, start_daemon: Start) -> None:
    np.save(folder / "a.npy", np.zeros((64, 64), np.uint8))
    daemon = start_daemon({"datasets": {"a": str(folder / "a.npy")}})
    with octree_client.connect(daemon.address) as session:
        level = session.dataset().levels[0]
        np.save(folder / "a.npy", np.zeros((64, 64), np.float32))
        with pytest.raises(octree_client.ChunkUnreadable, match="changed its dtype"):
            level[...]


# --- peers -----------------------------------------------------------------------------------------------------------


@harms_nobody
@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xc1\xc1\xc1"],
        [b"GET / HTTP/1.1\r\n\r\n"],
        [os.urandom(4096)],
        [b"\xdf\xff\xff\xff\xff"],
        [b"\x81" * 5000],
        [msgspec.msgpack.encode({"type": "want", "view": -1, "sequence": "x"})],
        [msgspec.msgpack.encode({"type": "ping"}), b"a second frame"],
        [],
    ],
    ids=["empty", "no-msgpack", "http", "random", "huge-map", "deep", "wrong-types", "two-frames", "no-frame"],
)
def test_garbage_is_refused_and_harms_nobody(daemon: Daemon, frames: list[bytes]) -> None:
    with Peer(daemon.address) as peer:
        peer.say_bytes(*(frames or [b"", b"", b""]))
        refused = peer.hear(Refused)
        assert refused.code in ("malformed", "no-session")
        assert refused.reason
        # And the session goes on.
        peer.say(Ping(7))
        assert peer.hear(Pong).number in (0, 7)


@harms_nobody
def test_a_frame_over_the_limit_costs_its_sender_the_connection_and_nobody_else(daemon: Daemon) -> None:
    with Peer(daemon.address) as peer:
        monitor = peer.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        peer.say_bytes(b"x" * (limits.FRAME_BYTES + 1))
        assert monitor.poll(5000), "it was taken"
        peer.socket.disable_monitor()
        monitor.close()


@harms_nobody
def test_what_is_said_before_hello_is_refused(daemon: Daemon) -> None:
    with Peer(daemon.address, hello=False, name="nobody") as peer:
        peer.say(Want(1, 1, (Wanted(ChunkKey(0, 0, (0, 0))),)))
        assert peer.hear(Refused).code == "no-session"
        peer.say(Describe("image", 3))
        assert peer.hear(Refused).code == "no-session"
    assert "nobody" not in {client.name for client in daemon.status().clients}


@harms_nobody
def test_a_message_of_tomorrow_is_refused_by_name_and_the_session_goes_on(daemon: Daemon) -> None:
    with Peer(daemon.address) as peer:
        peer.say_bytes(msgspec.msgpack.encode({"type": "levitate", "height": 3}))
        assert peer.hear(Refused).code == "unknown-message"
        assert peer.describe("image").name == "image"


def test_fields_of_tomorrow_are_ignored(daemon: Daemon) -> None:
    with Peer(daemon.address, hello=False) as peer:
        hello = {"type": "hello", "version": [1, 99], "name": "tomorrow", "pid": 1, "mood": "good"}
        peer.say_bytes(msgspec.msgpack.encode(hello))
        assert peer.hear(Welcome).version == PROTOCOL_VERSION


@harms_nobody
def test_another_major_version_is_refused_with_the_cure(daemon: Daemon) -> None:
    with Peer(daemon.address, hello=False) as peer:
        peer.say(Hello((2, 0), "tomorrow", 1))
        refused = peer.hear(Refused)
        assert refused.code == "version"
        assert "upgrade" in refused.reason
        assert "2.0" in refused.reason
        peer.say(Describe("image", 1))
        assert peer.hear(Refused).code == "no-session"


def test_a_client_of_another_major_version_says_so_at_once(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octree_client.transport.connection.PROTOCOL_VERSION", (2, 0))
    with pytest.raises(octree_client.ConnectionFailed, match="upgrade the daemon"):
        octree_client.connect(daemon.address)


def test_connecting_to_nobody_fails_with_the_cure(folder: Path) -> None:
    with pytest.raises(octree_client.ConnectionFailed, match="start one with octree-serve"):
        octree_client.connect(f"ipc://{folder}/nobody.sock", timeout=0.3)


@harms_nobody
def test_chunks_that_do_not_exist_fail_and_the_others_come(daemon: Daemon) -> None:
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        good = dataset.key(0, (3, 3))
        bad = [
            dataset.key(0, (8, 0)),
            dataset.key(0, (-1, 0)),
            dataset.key(0, (0,)),
            dataset.key(0, (0, 0, 0)),
            dataset.key(3, (0, 0)),
            dataset.key(-1, (0, 0)),
            ChunkKey(99, 0, (0, 0)),
        ]
        peer.want([*bad, good])
        peer.until(lambda: peer.settled([*bad, good]))
        assert set(peer.failed) == set(bad)
        assert set(peer.failed.values()) == {"there is no such chunk"}
        assert good in peer.ready


def test_a_view_may_want_8192_chunks_and_no_more(folder: Path, start_daemon: Start) -> None:
    np.save(folder / "big.npy", np.arange(2048 * 1024, dtype=np.uint32).reshape(2048, 1024))
    daemon = start_daemon(
        {"octree": {"tile_size": 16, "loaders": {}}, "loader_defaults": {"delay_queue_ms": 0},
         "datasets": {"big": str(folder / "big.npy")}}
    )  # fmt: skip
    with Peer(daemon.address) as peer:
        dataset = peer.describe("big")
        rows, columns = dataset.levels[0].grid()
        keys = [dataset.key(0, (row, column)) for row in range(rows) for column in range(columns)]
        assert len(keys) == limits.WANTS_PER_VIEW
        peer.want(keys)
        peer.until(lambda: peer.settled(keys), 60.0)
        assert set(peer.ready) == set(keys)
        frame = codec.encode(Want(2, 1, tuple(Wanted(key) for key in [*keys, keys[0]])))
        peer.say_bytes(frame)
        assert peer.hear(Refused).code == "malformed"
        peer.say(Ping(1))
        peer.hear(Pong)


@harms_nobody
def test_a_client_that_stops_reading_is_dropped_and_nobody_else_notices(daemon: Daemon) -> None:
    with Peer(daemon.address, name="deaf", room=10) as deaf:
        deaf.describe("image")
        ask = codec.encode(Describe("image", 1))
        assert "deaf" in {client.name for client in daemon.status().clients}

        def flood() -> bool:
            for _ in range(2000):
                deaf.socket.send(ask)
            return "deaf" not in {client.name for client in daemon.status().clients}

        wait_for(flood, 30.0, "the deaf client is still there")


@harms_nobody
def test_views_without_end_are_refused(daemon: Daemon) -> None:
    """Each view costs the daemon something: a client has so many and no more."""
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        for view in range(limits.VIEWS_PER_CLIENT + 8):
            peer.want([dataset.key(0, (0, 0))], view=view)
        assert peer.hear(Refused).code == "limit"
        mine = next(c for c in daemon.status().clients if c.pid == os.getpid() and c.views > 1)
        assert mine.views == limits.VIEWS_PER_CLIENT


# --- two daemons -----------------------------------------------------------------------------------------------------


def test_two_daemons_side_by_side_know_nothing_of_each_other(start_daemon: Start, folder: Path, shm: Path) -> None:
    daemons = []
    for number in (1, 2):
        np.save(folder / f"{number}.npy", np.full((300, 300), number, np.uint8))
        daemons.append(start_daemon({"datasets": {"it": str(folder / f"{number}.npy")}}, name=str(number)))
    with octree_client.connect(daemons[0].address) as one, octree_client.connect(daemons[1].address) as two:
        assert one.dataset("it").levels[0][...].max() == 1
        assert two.dataset("it").levels[0][...].min() == 2
    assert len(list(shm.iterdir())) == 2
    daemons[0].end()
    assert len(list(shm.iterdir())) == 1
    assert daemons[1].status().pid == daemons[1].pid


def test_a_connection_sees_the_arena_of_its_own_daemon_only(daemon: Daemon, start_daemon: Start, shm: Path) -> None:
    """A token tells: another daemon's segment under the announced path is not taken."""
    with Peer(daemon.address) as peer:
        assert peer.welcome is not None
        assert peer.welcome.arena is not None
        mine = Path(peer.welcome.arena.path)
    start_daemon({}, name="other")
    (other,) = set(shm.iterdir()) - {mine}
    kept = mine.with_name("kept")
    mine.rename(kept)
    mine.symlink_to(other)
    connection = Connection(daemon.address)
    try:
        # Bytes come over the wire instead.
        connection.wait_until_open(5.0)
        assert isinstance(connection.arena, ReceivedChunks)
    finally:
        connection.close()
        mine.unlink()
        kept.rename(mine)
