"""Clients over a network: slow, far, lossy, cut; with keys, without, with wrong ones; and those that do not read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zmq
from tests.system.daemons import Daemon, Peer, merged, octree_serve, wait_for
from tests.system.lab import Lab, inline_session, start_lab
from tests.system.tcp_proxy import TcpProxy

import octree_client
from octree_client.atlas import TileCache
from octree_client.transport.connection import ConnectionState
from octree_client.transport.received import ReceivedChunks
from octree_protocol import PROTOCOL_VERSION, codec, limits
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, Describe, Hello, Inline, Ping, Want, Wanted

Start = Callable[..., Daemon]

#: What a busy machine may need on top of a figure. Seconds.
BUSY = 3.0

MARK = b"these bytes are nobody else's business. " * 110


@pytest.fixture(scope="module")
def image(module_folder: Path) -> np.ndarray:
    """Noise that hardly compresses, and a text to listen for."""
    image = np.random.default_rng(7).integers(0, 4000, (1024, 1024)).astype(np.uint16)
    image[:2] = np.frombuffer(MARK[:4096], np.uint16).reshape(2, 1024)
    np.save(module_folder / "image.npy", image)
    return image


CONFIG: dict[str, Any] = {"octree": {"tile_size": 128, "loaders": {}}, "loader_defaults": {"delay_queue_ms": 0}}


def lab(start: Start, folder: Path, guarded: bool) -> Lab:
    file = str(folder / "image.npy")
    datasets = {"image": {"source": file, "levels": "stored"}, "pyramid": file}
    name = "guarded" if guarded else "open"
    return start_lab(start, folder, merged(CONFIG, {"datasets": datasets}), guarded=guarded, name=name)


@pytest.fixture(scope="module")
def guarded(start_module_daemon: Start, module_folder: Path, image: np.ndarray) -> Lab:
    assert image.any()
    return lab(start_module_daemon, module_folder, True)


@pytest.fixture(scope="module")
def clear(start_module_daemon: Start, module_folder: Path, image: np.ndarray) -> Lab:
    assert image.any()
    return lab(start_module_daemon, module_folder, False)


# --- the link --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "delay", "loss"), [(1.25e6, 0.0, 0.0), (None, 0.05, 0.0), (None, 0.01, 0.01)], ids=["slow", "far", "lossy"]
)
def test_a_bad_link_is_survived(guarded: Lab, image: np.ndarray, rate: float | None, delay: float, loss: float) -> None:
    with (
        TcpProxy(guarded.tcp, rate, delay, loss) as network,
        inline_session(network.address, guarded.keys_of("alice")) as session,
    ):
        read = session.dataset("image").levels[0][...]
        np.testing.assert_array_equal(read, image)
        assert session.connection.state is ConnectionState.OPEN
        assert network.connections == 1


@pytest.mark.parametrize("seconds", [pytest.param(5.0, id="short"), pytest.param(10.0, marks=pytest.mark.soak)])
def test_a_cut_is_survived_and_nothing_is_uploaded_twice(
    guarded: Lab, image: np.ndarray, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 Mbit/s and 50 ms besides. The camera moves while the link is down."""
    uploaded: list[Any] = []
    assign = TileCache.assign

    def noted(tiles: TileCache, place: Any, chunk: Any, *rest: Any) -> int | None:
        tile = assign(tiles, place, chunk, *rest)
        uploaded.extend([] if tile is None else [(place, chunk)])
        return tile

    monkeypatch.setattr(TileCache, "assign", noted)
    with (
        TcpProxy(guarded.tcp, 1.25e6, 0.05) as network,
        inline_session(network.address, guarded.keys_of("alice")) as session,
        octree_client.Viewer(session.dataset("pyramid"), size=(256, 256), visible=False) as viewer,
    ):
        layer = viewer.layers[0]
        layer.interpolation, layer.contrast_limits = "nearest", (0, 4000)
        viewer.set_view(center=(127.5, 127.5), pixel_size=1.0)
        viewer.wait_until_final(30)
        before = viewer.render()
        network.cut()
        cut_at = time.monotonic()
        viewer.set_view(center=(895.5, 895.5), pixel_size=1.0)
        wait_for(lambda: session.connection.state is ConnectionState.LOST, 4.0 + BUSY, "the loss is not noticed")
        viewer.set_view(center=(127.5, 127.5), pixel_size=1.0)
        assert np.array_equal(viewer.render(), before)  # what is there is drawn
        viewer.set_view(center=(895.5, 895.5), pixel_size=1.0)
        viewer.wait(max(0.1, cut_at + seconds - time.monotonic()))
        assert not viewer.is_final()
        network.mend()
        mended = time.monotonic()
        viewer.wait_until_final(3.0 + BUSY)
        print(f"whole again {time.monotonic() - mended:.2f} s after the link was back")
        picture = viewer.render()[..., 0].astype(float)
        assert np.abs(picture - image[768:, 768:] / 4000 * 255).max() <= 1
        assert len(uploaded) > 4
        assert len(set(uploaded)) == len(uploaded)


def test_a_daemon_that_is_started_again_behind_a_network_is_found(
    start_daemon: Start, folder: Path, image: np.ndarray
) -> None:
    np.save(folder / "image.npy", image)
    first = lab(start_daemon, folder, False)
    port = first.tcp.rpartition(":")[2]
    with inline_session(first.tcp) as session:
        level = session.dataset("image").levels[0]
        assert level[0, 0] == image[0, 0]
        first.daemon.end()
        wait_for(lambda: session.connection.state is ConnectionState.LOST, 10.0)
        config = merged(CONFIG, {"datasets": {"image": {"source": str(folder / "image.npy"), "levels": "stored"}}})
        start_daemon(config, address=[f"ipc://{folder}/n/d.sock", f"tcp://127.0.0.1:{port}"], name="n")
        wait_for(lambda: session.connection.state is ConnectionState.OPEN, 10.0)
        np.testing.assert_array_equal(level[500:600, 500:600], image[500:600, 500:600])


# --- keys ------------------------------------------------------------------------------------------------------------


def test_who_listens_on_the_wire_hears_nothing(guarded: Lab, clear: Lab) -> None:
    for one, heard in ((clear, True), (guarded, False)):
        keys = one.keys_of("alice") if one is guarded else None
        with TcpProxy(one.tcp) as network, inline_session(network.address, keys) as session:
            network.listening = True
            session.dataset("image").levels[0][:4]
            for secret in (MARK[:200], b"announce"):
                assert (secret in network.heard) == heard
            assert len(network.heard) > len(MARK)


def _lines(lab: Lab, text: str) -> int:
    return lab.daemon.words().count(text)


def _knock(address: str, server: str, pair: tuple[bytes, bytes] | None, name: str = "burglar") -> list[bytes]:
    """What a client hears that says hello with such keys."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        if pair is not None:
            socket.curve_serverkey = server.encode()
            socket.curve_publickey, socket.curve_secretkey = pair
        socket.connect(address)
        socket.send(codec.encode(Hello(PROTOCOL_VERSION, name)))
        return [socket.recv()] if socket.poll(1000) else []


def test_no_key_wrong_key_other_server_nothing_is_received_and_one_line_says_so(guarded: Lab) -> None:
    stranger = zmq.curve_keypair()
    server = guarded.server_key()
    alice = guarded.keys_of("alice")
    hers = (alice.public.encode(), alice.secret.encode())
    assert _knock(guarded.tcp, server, hers, "guest")  # so does one who may
    assert not _knock(guarded.tcp, server, stranger)
    assert not _knock(guarded.tcp, server, stranger)
    assert _lines(guarded, "is refused: its key (SHA256:") == 1
    assert not _knock(guarded.tcp, server, None)
    assert not _knock(guarded.tcp, zmq.curve_keypair()[0].decode(), hers)
    wait_for(lambda: _lines(guarded, "with no key, or looking for another daemon"), 5.0)
    assert _lines(guarded, "with no key, or looking for another daemon") == 1
    assert "burglar" not in guarded.daemon.words()
    secrets = [path.read_text().rpartition("secret-key ")[2].strip() for path in guarded.keys.glob("*.key")]
    assert secrets
    assert not [secret for secret in secrets if secret in guarded.daemon.words()]


def test_what_a_client_is_told_that_is_not_let_in(guarded: Lab) -> None:
    public, secret = (key.decode() for key in zmq.curve_keypair())
    keys = guarded.keys_of("alice")._replace(public=public, secret=secret)
    with pytest.raises(octree_client.ConnectionFailed, match="does not know our key"):
        inline_session(guarded.tcp, keys).close()


def test_a_key_that_is_revoked_is_dropped_at_once(guarded: Lab, image: np.ndarray) -> None:
    public = guarded.keys / "clients" / "bob.pub"
    text = public.read_text()
    with (
        inline_session(guarded.tcp, guarded.keys_of("bob")) as bob,
        inline_session(guarded.tcp, guarded.keys_of("alice")) as alice,
    ):
        level = bob.dataset("image").levels[0]
        assert level[300, 300] == image[300, 300]
        public.unlink()
        wait_for(lambda: _lines(guarded, "its key was revoked"), 2.0 + BUSY)
        began = time.monotonic()
        received = bob.connection._exchange.received
        wait_for(lambda: bob.connection.state is not ConnectionState.OPEN, 4.0 + BUSY)
        assert bob.connection._exchange.received == received
        wait_for(lambda: bob.connection.state is ConnectionState.REFUSED, began + 10.0 - time.monotonic())
        assert alice.dataset("image").levels[0][400, 400] == image[400, 400]
        public.write_text(text)  # he is let in again
        wait_for(lambda: bob.connection.state is ConnectionState.OPEN, 5.0 + BUSY)
        assert level[600, 600] == image[600, 600]


def test_a_default_start_listens_at_a_socket_only(start_daemon: Start) -> None:
    daemon = start_daemon({})
    processes = [psutil.Process(daemon.pid), *daemon.descendants()]
    assert not [c for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]


def test_beyond_loopback_needs_keys_or_the_word_insecure_which_is_said(start_daemon: Start, folder: Path) -> None:
    keyless = octree_serve("--bind", "tcp://0.0.0.0:0", "--check", cwd=folder)
    assert keyless.returncode == 78, keyless.stderr
    assert "octree-serve keys" in keyless.stderr
    address = [f"ipc://{folder}/i/d.sock", "tcp://0.0.0.0:*"]
    daemon = start_daemon({"serve": {"insecure": True}}, address=address, name="i")
    assert daemon.words().count("nobody is asked for a key") == 1


# --- clients that ask for too much -----------------------------------------------------------------------------------


class Deaf:
    """A client that asks for everything, says that it is alive, and reads nothing."""

    def __init__(self, address: str, dataset: int) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.RCVHWM, 1)
        self.socket.setsockopt(zmq.RCVBUF, 65536)
        self.socket.linger = 0
        self.socket.connect(address)
        self.socket.send(codec.encode(Hello(PROTOCOL_VERSION, "deaf")))
        assert self.socket.poll(5000)
        self.socket.recv()
        self.socket.send(codec.encode(Inline()))
        entries = tuple(Wanted(chunk_key(dataset, n), priority=n) for n in range(64))
        self.socket.send(codec.encode(Want(1, 1, entries)))

    def close(self) -> None:
        self.socket.close()
        self._context.term()


def chunk_key(dataset: int, number: int) -> ChunkKey:
    return ChunkKey(dataset, 0, (number // 8, number % 8))


@pytest.fixture
def other(clear: Lab) -> Iterator[octree_client.Session]:
    with inline_session(clear.tcp, cache_bytes=1 << 20) as session:
        yield session


def test_a_client_that_does_not_read_is_dropped_costs_little_and_slows_no_one(
    clear: Lab, other: octree_client.Session
) -> None:
    level = other.dataset("image").levels[0]

    def names() -> set[str]:
        return {client.name for client in clear.daemon.status().clients}

    level[...]
    process = psutil.Process(clear.daemon.pid)
    before = process.memory_info().rss - process.memory_info().shared
    deaf = [Deaf(clear.tcp, other.dataset("image").dataset.id) for _ in range(3)]
    try:
        wait_for(lambda: "deaf" in names(), 5.0)
        most = 0

        def gone() -> bool:
            nonlocal most
            info = process.memory_info()
            most = max(most, info.rss - info.shared - before)
            for one in deaf:
                one.socket.send(codec.encode(Ping()), zmq.NOBLOCK)
            level[::7, ::9]  # others read on
            return "deaf" not in names()

        wait_for(gone, limits.ACKNOWLEDGE_TIMEOUT + 5.0 + BUSY, "they are still there")
        assert most < len(deaf) * 8 << 20
        assert "it does not read what it is sent" in clear.daemon.words()
    finally:
        for one in deaf:
            one.close()


def test_more_than_a_client_may_want_or_say_is_refused_and_said_so(clear: Lab) -> None:
    with Peer(clear.tcp) as peer:
        dataset = peer.describe("image")
        keys = [chunk_key(dataset.id, n) for n in range(64)]
        chunk = [chunk_key(dataset.id, 10_000 + n) for n in range(limits.WANTS_PER_VIEW)]
        for view in range(1, 5):
            peer.want(chunk, view=view)  # the image has no such chunks
        peer.want(keys[:1], view=9)
        peer.until(lambda: keys[0] in peer.ready or any("together" in getattr(m, "reason", "") for m in peer.heard), 30)
        for _ in range(3 * limits.MESSAGES_AT_ONCE):
            peer.say(Describe("image", about=1 << 40))
        peer.until(lambda: any("things a second" in getattr(m, "reason", "") for m in peer.heard), 30)
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            peer.listen(until)
        assert peer.describe("image").name == "image"  # and it goes on


def test_an_old_client_is_sent_no_bytes(clear: Lab) -> None:
    with Peer(clear.daemon.address, hello=False) as peer:
        peer.say(Hello((1, 0), "old"))
        assert peer.listen(time.monotonic() + 5)
        dataset = peer.describe("image")
        keys = [chunk_key(dataset.id, n) for n in range(16)]
        peer.want(keys)
        peer.until(lambda: peer.settled(keys))
        assert all(not message.encodings for message in peer.heard if isinstance(message, Announce))


def test_a_cache_stays_within_its_budget(clear: Lab, image: np.ndarray) -> None:
    budget = 5 * 128 * 128 * 2
    with inline_session(clear.tcp, cache_bytes=budget) as session:
        np.testing.assert_array_equal(session.dataset("image").levels[0][...], image)
        assert isinstance(session.connection.arena, ReceivedChunks)
        assert 0 < session.connection.arena.used() <= budget
