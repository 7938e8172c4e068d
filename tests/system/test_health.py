"""The health endpoint and systemd's notifications, of a real daemon."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.system.daemons import Daemon, Peer, environment, octree_serve, wait_for

from octree_protocol.keys import ChunkKey


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20.0) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _url(daemon: Daemon) -> str:
    return next(line.split(" at ")[1] for line in daemon.greeting.splitlines() if "health at" in line)


@pytest.fixture(scope="module")
def watched(module_folder: Path, start_module_daemon: Callable[..., Daemon]) -> tuple[Daemon, str, Path]:
    """A daemon with one good dataset and one whose file comes later; its health endpoint."""
    folder = module_folder
    np.save(folder / "good.npy", np.arange(512 * 512, dtype=np.uint16).reshape(512, 512))
    later = folder / "later.npy"
    config = {
        # Nothing is read in the background: the figures are those of what clients want.
        "datasets": {
            "good": {"source": str(folder / "good.npy"), "make_levels": "on-demand"},
            "late": {"source": str(later), "make_levels": "on-demand"},
        },
        "serve": {"health": "127.0.0.1:0"},
        "loader_defaults": {"num_workers": 1},
    }
    daemon = start_module_daemon(config)
    return daemon, _url(daemon), later


def test_ready_is_a_daemon_whose_datasets_all_opened(watched: tuple[Daemon, str, Path]) -> None:
    daemon, url, later = watched
    assert _get(f"{url}/livez") == (200, "ok\n")

    def refused() -> str:
        status, text = _get(f"{url}/readyz")
        assert status == 503
        return text if "'late' does not open" in text else ""

    reasons = json.loads(wait_for(refused, 15.0))["reasons"]
    assert len(reasons) == 1
    assert str(later) in reasons[0]
    shutil.copy(later.with_name("good.npy"), later)
    # It is tried again by itself, after 5 s.
    wait_for(lambda: _get(f"{url}/readyz")[0] == 200, 30.0)
    assert {d.name: d.state for d in daemon.status().datasets} == {"good": "open", "late": "open"}


def test_figures_count_what_a_client_is_given(watched: tuple[Daemon, str, Path]) -> None:
    daemon, url, _ = watched

    def figure(name: str, **labels: str) -> float:
        status, text = _get(f"{url}/metrics")
        assert status == 200
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return next((s.value for s in samples if s.name == name and s.labels == labels), 0.0)

    with Peer(daemon.address) as peer:
        number = peer.describe("good").id
        keys = [ChunkKey(number, 0, (y, x)) for y in range(2) for x in range(2)]
        peer.want(keys)
        peer.until(lambda: len(peer.ready) == 4)
        wait_for(lambda: figure("octree_dataset_chunks_total", dataset="good") == 4, 10.0)
        wait_for(lambda: figure("octree_clients") == 1, 10.0)
        assert figure("octree_loads_total", pool="0", result="loaded") == 4
        assert 0 < figure("octree_load_seconds_count", pool="0") <= 4
        assert figure("octree_dataset_bytes_total", dataset="good") == 4 * 256 * 256 * 2
        assert figure("octree_arena_bytes", state="wanted") >= 4 * 256 * 256 * 2
        assert figure("octree_sent_bytes_total") > 100
        assert figure("octree_datasets", state="open") >= 1


def test_hostile_clients_cost_the_daemon_a_bounded_share_of_a_core(watched: tuple[Daemon, str, Path]) -> None:
    daemon, url, _ = watched
    assert _get(f"{url}/livez")[0] == 200
    host, port = url.removeprefix("http://").split(":")
    stop = threading.Event()
    sent = [0]

    def attack(payload: bytes) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0) as peer:
                sent[0] += 1
                peer.sendall(payload)
                peer.settimeout(0.2)
                peer.recv(100)

    payloads = (b"GET /metrics HTTP/1.1\r\n\r\n", b"\x00" * 60_000, b"GET /li", b"POST / HTTP/1.1\r\n\r\n")
    attackers = [threading.Thread(target=attack, args=(payload,)) for payload in payloads]
    for attacker in attackers:
        attacker.start()
    process = psutil.Process(daemon.pid)
    try:
        with Peer(daemon.address) as peer:
            number = peer.describe("good").id
            before, began = sum(process.cpu_times()[:2]), time.monotonic()
            peer.want([ChunkKey(number, 0, (0, 0))])
            peer.until(lambda: len(peer.ready) == 1)
            wait_for(lambda: time.monotonic() - began > 2.0, 5.0)
            took, spent = time.monotonic() - began, sum(process.cpu_times()[:2]) - before
        assert _get(f"{url}/livez") == (200, "ok\n")
    finally:
        stop.set()
        for attacker in attackers:
            attacker.join()
    assert sent[0] > 20
    assert spent / took < 0.25


def test_an_endpoint_for_others_must_be_asked_for(folder: Path) -> None:
    config = folder / "octree.json"
    config.write_text(json.dumps({"serve": {"health": "0.0.0.0:9777"}}))
    ended = octree_serve("--config", str(config), cwd=folder)
    assert ended.returncode == 78
    assert "serve.health_exposed" in ended.stderr
    config.write_text(json.dumps({"serve": {"health": "9777"}}))
    ended = octree_serve("--config", str(config), cwd=folder)
    assert ended.returncode == 78
    assert "serve.health: is '9777'; allowed is null, or a host and a port" in ended.stderr.replace('"9777"', "'9777'")


# --- systemd ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def manager(folder: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.settimeout(20.0)
        yield listening


def _hear(manager: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in manager.recv(8192).decode().split("\n"))


def test_systemd_hears_of_the_start_the_beating_and_the_end(folder: Path, shm: Path, manager: socket.socket) -> None:
    np.save(folder / "image.npy", np.zeros((64, 64), np.uint8))
    config = {
        "datasets": {"image": str(folder / "image.npy")},
        "memory": {"arena_bytes": "16MiB", "directory": str(shm)},
        "serve": {"bind": [f"ipc://{folder}/d.sock"]},
    }
    (folder / "octree.json").write_text(json.dumps(config))
    with subprocess.Popen(
        [sys.executable, "-m", "octree_loader.cli", "--config", str(folder / "octree.json")],
        env={**environment(), "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "1500000"},
        stdout=subprocess.DEVNULL,
    ) as daemon:
        try:
            heard = [_hear(manager)]
            while "READY" not in heard[-1]:
                heard.append(_hear(manager))
            assert heard[-1]["STATUS"] == "1 of 1 datasets open"
            with Peer(f"ipc://{folder}/d.sock"):
                pass
            assert _hear(manager) == {"WATCHDOG": "1"}
            # Stopped, it beats no more; that is what systemd restarts it for.
            os.kill(daemon.pid, signal.SIGSTOP)
            manager.settimeout(1.5)
            with contextlib.suppress(TimeoutError):
                _hear(manager)  # one may have been under way
            with pytest.raises(TimeoutError):
                _hear(manager)
            os.kill(daemon.pid, signal.SIGCONT)
            manager.settimeout(20.0)
            assert "WATCHDOG" in _hear(manager)
            daemon.terminate()
            last = _hear(manager)
            while "STOPPING" not in last:
                last = _hear(manager)
            assert last["STATUS"] == "ending: SIGTERM"
            assert daemon.wait(20.0) == 0
        finally:
            daemon.kill()
