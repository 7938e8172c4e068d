"""Deaths of every role, as sentences: what dies costs nobody else anything, and what remains says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tests.system.daemons import Daemon, Peer, environment, merged, wait_for
from tests.system.factories import plane
from tests.system.obedience import Obedience

import octree_client
from octree_client.transport.connection import ConnectionState
from octree_protocol.keys import ChunkKey

Start = Callable[..., Daemon]

#: Everything in one pool, nothing in a delay queue.
AT_ONCE = {
    "octree": {"tile_size": 64, "loaders": {}},
    "loader_defaults": {"delay_queue_ms": 0, "num_workers": 2},
}

#: The figures asked for, in seconds, and what a busy machine may need on top of each.
BUSY = 3.0
NOTICED = 4.0 + BUSY
WHOLE_AGAIN = 5.0 + BUSY
UNPINNED = 5.0 + BUSY


@pytest.fixture
def image(folder: Path) -> Obedience:
    return Obedience(folder / "image")


@pytest.fixture
def daemon(start_daemon: Start, image: Obedience) -> Daemon:
    return start_daemon(merged(AT_ONCE, {"datasets": {"image": image.source}}))


@pytest.fixture
def peer(daemon: Daemon) -> Iterator[Peer]:
    with Peer(daemon.address) as peer:
        yield peer


def block(peer: Peer, rows: int = 4, columns: int = 8) -> list[ChunkKey]:
    dataset = peer.describe("image")
    return [dataset.key(0, (row, column)) for row in range(rows) for column in range(columns)]


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "name"), [("kill", "SIGKILL"), ("segv", "SIGSEGV")])
def test_a_chunk_that_kills_its_worker_fails_and_no_other_is_harmed(
    daemon: Daemon, image: Obedience, peer: Peer, how: str, name: str
) -> None:
    image.order(how, 0, 1, 2)
    keys = block(peer)
    peer.want(keys)
    peer.until(lambda: peer.settled(keys), 20.0)
    killer = ChunkKey(keys[0].dataset, 0, (1, 2))
    assert set(peer.failed) == {killer}
    assert "the worker died while reading it" in peer.failed[killer]
    assert name in peer.failed[killer]
    assert set(peer.ready) == set(keys) - {killer}
    pool = daemon.status().pools[0]
    assert (pool.deaths, pool.failed) == (2, 1)
    # Nothing else was on trial: every other chunk was read by somebody who lived to tell.
    assert {read.chunk[1:] for read in image.reads()} >= {key.index for key in peer.ready}


def test_a_chunk_that_kills_its_worker_once_is_ready_in_the_end(daemon: Daemon, image: Obedience, peer: Peer) -> None:
    image.order("kill", 0, 2, 2, "once")
    keys = block(peer)
    peer.want(keys)
    peer.until(lambda: peer.settled(keys), 20.0)
    assert not peer.failed
    assert daemon.status().pools[0].deaths == 1


def test_over_a_slow_store_only_the_killer_fails(start_daemon: Start, folder: Path) -> None:
    """A worker has several reads open there, so each death takes innocents with it; they must not be blamed twice."""
    image = Obedience(folder / "slow", delay_ms=20)
    daemon = start_daemon(merged(AT_ONCE, {"datasets": {"image": image.source}}))
    with Peer(daemon.address) as peer:
        keys = block(peer, rows=6)
        peer.want(keys[:16])
        peer.until(lambda: peer.settled(keys[:16]), 20.0)  # known to wait from here on
        image.order("kill", 0, 3, 3)
        peer.want(keys)
        peer.until(lambda: peer.settled(keys), 30.0)
        assert set(peer.failed) == {ChunkKey(keys[0].dataset, 0, (3, 3))}
        assert len(peer.ready) == len(keys) - 1


def test_a_worker_that_is_killed_from_outside_is_replaced_within_2_s(
    daemon: Daemon, image: Obedience, peer: Peer
) -> None:
    keys = block(peer)
    peer.want(keys[:2])
    peer.until(lambda: peer.settled(keys[:2]))
    victims = {read.pid for read in image.reads()}
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    peer.want(keys)
    peer.until(lambda: peer.settled(keys), 2.0 + BUSY)
    assert time.monotonic() - killed < 2.0 + BUSY
    assert not peer.failed
    assert daemon.status().pools[0].deaths == len(victims)


def test_a_worker_that_is_stopped_is_ended_after_the_load_timeout(start_daemon: Start, image: Obedience) -> None:
    one = {"loader_defaults": {"num_workers": 1, "load_timeout_ms": 700}}
    daemon = start_daemon(merged(AT_ONCE, one, {"datasets": {"image": image.source}}))
    with Peer(daemon.address) as peer:
        keys = block(peer, rows=1)
        peer.want(keys[:1])
        peer.until(lambda: peer.settled(keys[:1]))
        (pid,) = {read.pid for read in image.reads()}
        os.kill(pid, signal.SIGSTOP)
        peer.want(keys)
        peer.until(lambda: peer.settled(keys), 10.0)
        assert not peer.failed
        assert daemon.status().pools[0].deaths == 1
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_fork_servers_death_costs_no_chunk(daemon: Daemon, peer: Peer) -> None:
    keys = block(peer)
    (server,) = [p for p in psutil.Process(daemon.pid).children() if "forkserver" in " ".join(p.cmdline())]
    server.kill()
    peer.want(keys)
    peer.until(lambda: peer.settled(keys), 20.0)
    assert not peer.failed


# --- viewers ---------------------------------------------------------------------------------------------------------

_VIEWER = """
import sys
import octree_client
with octree_client.connect(sys.argv[1]) as session:
    viewer = octree_client.Viewer(session.dataset(), size=(256, 256), visible=False)
    viewer.set_view(center=(128, 128), pixel_size=1.0)
    viewer.wait_until_final(30)
    # What is drawn is not wanted any more, so something is held that is never drawn.
    import octree_protocol.messages as m
    inbox = session.connection.open_view(lambda: None)
    dataset = viewer.layers[0].dataset
    session.connection.want(inbox, [m.Wanted(dataset.key(0, (row, 7))) for row in range(8)])
    print("here", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_viewer_that_dies_or_stops_frees_what_it_pinned(daemon: Daemon, number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_VIEWER), daemon.address],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as viewer:  # fmt: skip
        try:
            assert viewer.stdout is not None
            assert viewer.stdout.readline() == b"here\n"
            wait_for(lambda: _of(daemon, viewer.pid) and _of(daemon, viewer.pid)[0].announced >= 8, 10.0)
            assert _of(daemon, viewer.pid)[0].wanted >= 8
            assert daemon.status().arena.wanted > 0
            viewer.send_signal(number)
            gone = time.monotonic()
            wait_for(lambda: not _of(daemon, viewer.pid), UNPINNED)
            assert daemon.status().arena.wanted == 0
            assert time.monotonic() - gone < UNPINNED
            assert daemon.status().arena.recent > 0
        finally:
            viewer.kill()


def _of(daemon: Daemon, pid: int) -> list[Any]:
    return [client for client in daemon.status().clients if client.pid == pid]


# --- the daemon ------------------------------------------------------------------------------------------------------


def settled_picture(viewer: octree_client.Viewer) -> np.ndarray:
    viewer.wait_until_final(30)
    return viewer.render()


def drawing_until(viewer: octree_client.Viewer, condition: Callable[[], Any], timeout: float) -> float:
    """Let the viewer draw until `condition`; returns the seconds that it took."""
    began = time.monotonic()
    assert viewer._driver.wait(lambda: bool(condition()), timeout), f"not within {timeout:g} s"
    return time.monotonic() - began


def test_the_viewer_outlives_its_embedded_daemon(image: Obedience) -> None:
    settings = {"memory": {"arena_bytes": "64MiB"}, "octree": {"tile_size": 64}}
    with (
        octree_client.open(datasets={"image": image.source}, settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(256, 256), visible=False) as viewer,
    ):
        viewer.set_view(center=(128, 128), pixel_size=1.0)
        before = settled_picture(viewer)
        first = session.daemon_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        drawing_until(viewer, lambda: session.connection.state is not ConnectionState.OPEN, NOTICED)
        assert session.connection.problem
        np.testing.assert_array_equal(viewer.render(), before)
        drawing_until(viewer, lambda: session.connection.state is ConnectionState.OPEN, WHOLE_AGAIN)
        assert session.connection.problem == ""
        assert session.daemon_pid != first
        np.testing.assert_array_equal(viewer.render(), before)
        # Whole: it shows places that it has never seen, and scripts read on.
        viewer.set_view(center=(400, 400), pixel_size=1.0)
        settled_picture(viewer)
        assert viewer.status().failed == 0
        np.testing.assert_array_equal(session.dataset().levels[2][:10, :10], image_plane(2)[:10, :10])


def image_plane(level: int, edge: int = 512) -> np.ndarray:
    return plane(level, (edge >> level, edge >> level))


def test_the_viewer_outlives_a_daemon_that_is_started_again_by_hand(
    start_daemon: Start, image: Obedience, shm: Path
) -> None:
    config = merged(AT_ONCE, {"datasets": {"other": image.source, "image": image.source}})
    first = start_daemon(config)
    with (
        octree_client.connect(first.address) as session,
        octree_client.Viewer(session.dataset("image"), size=(256, 256), visible=False) as viewer,
    ):
        viewer.set_view(center=(128, 128), pixel_size=1.0)
        before = settled_picture(viewer)
        family = first.descendants()
        first.signal(signal.SIGKILL)
        first.wait(5.0)
        drawing_until(viewer, lambda: session.connection.state is ConnectionState.LOST, NOTICED)
        assert "gone" in session.connection.problem
        for _ in range(3):
            np.testing.assert_array_equal(viewer.render(), before)
        # Its workers notice by themselves; its segment stays until the next start, which takes it away.
        assert psutil.wait_procs(family, timeout=5.0)[1] == []
        (left,) = shm.iterdir()
        viewer.set_view(center=(384, 384), pixel_size=1.0)
        viewer.render()
        assert not viewer.is_final()
        # The datasets have other numbers now.
        second = start_daemon(merged(AT_ONCE, {"datasets": {"image": image.source}}), first.address)
        assert not left.exists()
        drawing_until(viewer, lambda: session.connection.state is ConnectionState.OPEN, WHOLE_AGAIN)
        drawing_until(viewer, viewer.is_final, WHOLE_AGAIN)
        assert viewer.status().failed == 0
        viewer.set_view(center=(128, 128))
        np.testing.assert_array_equal(settled_picture(viewer), before)
        assert second.status().clients


def test_a_daemon_that_falls_silent_is_noticed_and_taken_up_again(daemon: Daemon) -> None:
    with (
        octree_client.connect(daemon.address) as session,
        octree_client.Viewer(session.dataset(), size=(128, 128), visible=False) as viewer,
    ):
        viewer.set_view(center=(64, 64), pixel_size=1.0)
        before = settled_picture(viewer)
        daemon.signal(signal.SIGSTOP)
        try:
            took = drawing_until(viewer, lambda: session.connection.state is ConnectionState.LOST, NOTICED)
            assert took < NOTICED
            assert "silent" in session.connection.problem
            viewer.set_view(center=(300, 300))
            viewer.render()
            viewer.set_view(center=(64, 64))
            np.testing.assert_array_equal(viewer.render(), before)
        finally:
            daemon.signal(signal.SIGCONT)
        drawing_until(viewer, lambda: session.connection.state is ConnectionState.OPEN, WHOLE_AGAIN)
        for centre in ((300, 300), (450, 60), (200, 420)):
            viewer.set_view(center=centre)
            settled_picture(viewer)
            assert viewer.status().failed == 0
        viewer.set_view(center=(64, 64))
        np.testing.assert_array_equal(settled_picture(viewer), before)


def test_a_read_goes_on_with_the_next_daemon(image: Obedience) -> None:
    settings = {"memory": {"arena_bytes": "64MiB"}, "octree": {"tile_size": 64}}
    with octree_client.open(datasets={"image": image.source}, settings=settings) as session:
        level = session.dataset().levels[0]
        image.order("hang", 0, 3, 3)
        got: list[np.ndarray] = []
        reading = threading.Thread(target=lambda: got.append(level[...]))
        reading.start()
        wait_for(lambda: len(image.reads()) > 20, 10.0)
        assert session.daemon_pid is not None
        os.kill(session.daemon_pid, signal.SIGKILL)
        (image.folder / "hang-0-3-3").unlink()
        reading.join(30.0)
        np.testing.assert_array_equal(got[0], image_plane(0))


def test_killing_the_whole_group_leaves_a_segment_that_the_next_start_removes(
    daemon: Daemon, peer: Peer, start_daemon: Start, shm: Path
) -> None:
    keys = block(peer)
    peer.want(keys)
    peer.until(lambda: peer.settled(keys))
    daemon.descendants()
    os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait(5.0)
    (left,) = shm.iterdir()
    living = start_daemon({}, name="living")
    (segment,) = shm.iterdir()
    assert segment != left
    # And never what belongs to a living one.
    start_daemon({}, name="third")
    assert segment in set(shm.iterdir())
    assert living.status().pid == living.pid


def test_an_embedded_daemon_ends_when_its_viewer_is_killed(folder: Path) -> None:
    np.save(folder / "a.npy", np.zeros((10, 10)))
    script = """if True:
        import octree_client, sys
        session = octree_client.open(sys.argv[1], settings={"memory": {"arena_bytes": "16MiB"}})
        print(session.daemon_pid, session.connection.arena.path, flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder / "a.npy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pid, segment = owner.stdout.readline().decode().split()
        process = psutil.Process(int(pid))
        family = [process, *process.children(recursive=True)]
        owner.kill()
        assert psutil.wait_procs(family, timeout=5.0)[1] == []
        assert not Path(segment).exists()
