"""``octree-serve`` as a command: what it says, and what it ends with."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.system.daemons import Daemon, Peer, environment, octree_serve, wait_for
from tests.system.obedience import Obedience

from octree_loader.cli import COMMANDS

SEED = Path(__file__).resolve().parents[3] / "shared" / "seeds" / "napari-rendering-guide.txt"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(
    start_daemon: Callable[..., Daemon], folder: Path, shm: Path, number: int
) -> None:
    image = Obedience(folder / "image")
    daemon = start_daemon({"datasets": {"image": image.source}})
    with Peer(daemon.address) as peer:
        keys = [peer.describe("image").key(0, (row, 0)) for row in range(4)]
        peer.want(keys)
        peer.until(lambda: peer.settled(keys))
        family = daemon.descendants()
        assert daemon.workers()
        daemon.signal(number)
        began = time.monotonic()
        assert daemon.wait(5.0) == 0
        assert time.monotonic() - began < 5.0
        assert psutil.wait_procs(family, timeout=3.0)[1] == []
    assert list(shm.iterdir()) == []
    assert not Path(daemon.address.removeprefix("ipc://")).exists()
    assert signal.Signals(number).name in daemon.rest()


def test_a_signal_ends_it_while_reads_hang(start_daemon: Callable[..., Daemon], folder: Path, shm: Path) -> None:
    image = Obedience(folder / "image")
    daemon = start_daemon({"datasets": {"image": image.source}})
    with image.held(), Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        peer.want([dataset.key(0, (0, n)) for n in range(8)])
        wait_for(lambda: daemon.status().pools[0].loading, 10.0)
        daemon.descendants()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(5.0) == 0
    assert list(shm.iterdir()) == []


def test_it_and_its_workers_may_open_as_many_files_as_the_machine_allows(
    start_daemon: Callable[..., Daemon], folder: Path
) -> None:
    image = Obedience(folder / "image")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1000, hard), hard))  # a process starts with what its parent has
    try:
        daemon = start_daemon({"datasets": {"image": image.source}})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with Peer(daemon.address) as peer:
        keys = [peer.describe("image").key(0, (0, 0))]
        peer.want(keys)
        peer.until(lambda: peer.settled(keys))
        workers = daemon.workers()
        assert workers
        for process in (daemon.pid, *workers):
            assert psutil.Process(process).rlimit(psutil.RLIMIT_NOFILE) == (min(65536, hard), hard)
        # The daemon answers at once; its workers never interrupt anybody.
        assert os.sched_getscheduler(daemon.pid) == os.SCHED_OTHER
        assert {os.sched_getscheduler(process) for process in workers} == {os.SCHED_BATCH}


def test_nothing_is_left_in_the_usual_place(folder: Path) -> None:
    """With the default folder of the arena; others may come and go there meanwhile."""
    with Daemon(folder, {"memory": {"arena_bytes": "16MiB"}}) as daemon:
        with Peer(daemon.address) as peer:
            assert peer.welcome is not None
            assert peer.welcome.arena is not None
            segment = Path(peer.welcome.arena.path)
        assert segment.parent == Path("/dev/shm")
        assert segment.exists()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(5.0) == 0
        assert not segment.exists()


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["--bind"], ["status", "--no-such-option"]])
def test_2_for_what_is_no_usage(folder: Path, arguments: list[str]) -> None:
    ended = octree_serve(*arguments, cwd=folder)
    assert ended.returncode == 2
    assert "usage: octree-serve" in ended.stderr


def test_66_when_a_dataset_does_not_open_in_a_check(folder: Path) -> None:
    np.save(folder / "good.npy", np.zeros((10, 20), np.uint8))
    ended = octree_serve("--check", "good.npy", "nothing-here.zarr", cwd=folder)
    assert ended.returncode == 66
    assert "nothing-here.zarr does not exist" in ended.stdout
    good = next(line for line in ended.stdout.splitlines() if line.startswith("good"))
    for word in ("npy", "y x", "10 × 20", "uint8", "200 B"):
        assert word in good
    assert "1 of 2 datasets open" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_check_says_the_same_to_programs(folder: Path) -> None:
    np.save(folder / "good.npy", np.zeros((10, 20), np.uint8))
    ended = octree_serve("--check", "--json", "good.npy", cwd=folder)
    found = json.loads(ended.stdout)
    assert ended.returncode == found["exit_code"] == 0
    assert [(d["name"], d["good"], d["nbytes"]) for d in found["datasets"]] == [("good", True, 200)]


def test_a_check_beside_the_running_daemon_is_no_trouble(
    start_daemon: Callable[..., Daemon], folder: Path, shm: Path
) -> None:
    daemon = start_daemon({"serve": {"health": "127.0.0.1:0"}})
    port = next(line for line in daemon.greeting.splitlines() if "health at" in line).rpartition(":")[2]
    config = {"memory": {"arena_bytes": "16MiB", "directory": str(shm)}, "serve": {"health": f"127.0.0.1:{port}"}}
    (folder / "octree.json").write_text(json.dumps(config))
    arguments = ["--config", "octree.json", "--bind", daemon.address]
    ended = octree_serve("--check", "--json", *arguments, cwd=folder)
    assert ended.returncode == 0, ended.stdout
    found = json.loads(ended.stdout)
    assert [address["state"] for address in found["addresses"]] == ["ours", "ours"]
    assert found["memory"]["returned"] >= 64 << 20
    assert len(list(shm.iterdir())) == 1
    # And without --check, it is told that it runs already.
    assert octree_serve(*arguments, cwd=folder).returncode == 75
    assert octree_serve("probe", "livez", "--at", f"127.0.0.1:{port}", cwd=folder).stdout == "ok\n"
    assert daemon.status().pid == daemon.pid


def test_69_for_a_probe_that_nobody_answers(folder: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        ended = octree_serve("probe", "livez", "--at", f"127.0.0.1:{port}", cwd=folder)
    assert ended.returncode == 69
    assert "no answer" in ended.stderr


def test_69_when_the_port_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = octree_serve("--bind", f"tcp://127.0.0.1:{port}", cwd=folder)
    assert ended.returncode == 69
    assert str(port) in ended.stderr
    assert "--bind" in ended.stderr


def test_69_when_there_is_no_daemon_to_ask(folder: Path) -> None:
    ended = octree_serve("status", "--connect", f"ipc://{folder}/nobody.sock", cwd=folder)
    assert ended.returncode == 69
    assert "no daemon answers" in ended.stderr


def test_73_when_there_is_not_enough_shared_memory(folder: Path) -> None:
    room = shutil.disk_usage("/dev/shm")
    (folder / "octree.json").write_text(json.dumps({"memory": {"arena_bytes": 4 * room.total}}))
    ended = octree_serve("--config", "octree.json", "--bind", f"ipc://{folder}/d.sock", cwd=folder)
    assert ended.returncode == 73
    assert "/dev/shm" in ended.stderr
    assert "memory.arena_bytes" in ended.stderr
    assert "GiB" in ended.stderr


def test_75_when_it_runs_already(start_daemon: Callable[..., Daemon], folder: Path, shm: Path) -> None:
    first = start_daemon({})
    (folder / "octree.json").write_text(json.dumps({"memory": {"arena_bytes": "16MiB", "directory": str(shm)}}))
    ended = octree_serve("--config", "octree.json", "--bind", first.address, cwd=folder)
    assert ended.returncode == 75
    assert str(first.pid) in ended.stderr
    assert first.status().pid == first.pid
    assert len(list(shm.iterdir())) == 1


def test_75_for_a_second_daemon_of_a_name(folder: Path, shm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    memory = {"arena_bytes": "16MiB", "directory": str(shm)}
    (folder / "octree.json").write_text(json.dumps({"serve": {"name": "mine"}, "memory": memory}))
    command = [sys.executable, "-m", "octree_loader.cli", "--config", str(folder / "octree.json")]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert "serving" in first.stdout.readline()
        assert f"{folder}/octree-serve/mine.sock" in first.stdout.readline()
        ended = octree_serve("--config", "octree.json", cwd=folder)
        assert ended.returncode == 75
        assert "serve.name" in ended.stderr
        first.terminate()
        assert first.wait(5.0) == 0


def test_78_with_every_mistake_at_once(folder: Path) -> None:
    mistaken = {
        "loader_defaults": {"num_workers": 0, "auto_sync_ms": "soon"},
        "octree": {"tile_size": 4, "loaders": {"one": {}}},
        "memory": {"arena_bytes": "plenty"},
        "colour": "red",
    }
    (folder / "octree.json").write_text(json.dumps(mistaken))
    ended = octree_serve("--config", "octree.json", "=nameless", cwd=folder)
    assert ended.returncode == 78
    for key in (
        "loader_defaults.num_workers", "loader_defaults.auto_sync_ms", "octree.tile_size", "octree.loaders",
        "memory.arena_bytes", "colour", "=nameless",
    ):  # fmt: skip
        assert key in ended.stderr
    assert "7 mistakes" in ended.stderr


def test_version_schema_and_help(folder: Path) -> None:
    assert octree_serve("--version", cwd=folder).stdout.startswith("octree-serve 0")
    assert "loader_defaults" in json.loads(octree_serve("--print-schema", cwd=folder).stdout)["properties"]
    help_ = octree_serve("--help", cwd=folder).stdout
    assert "75 already running" in help_
    for command in COMMANDS:
        assert f"octree-serve {command}" in help_
        assert octree_serve(command, "--help", cwd=folder).stdout.startswith(f"usage: octree-serve {command}")


@pytest.mark.skipif(not SEED.exists(), reason="the seeds are not beside the project")
def test_the_example_of_naparis_guide_serves_unchanged(folder: Path) -> None:
    text = SEED.read_text()
    begin = text.index("{", text.index("DEFAULT_OCTREE_CONFIG"))
    depth = 0
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            break
    (folder / "octree.py").write_text(text[begin : end + 1])
    data = np.arange(300 * 200, dtype=np.uint16).reshape(300, 200)
    np.save(folder / "image.npy", data)
    command = [sys.executable, "-m", "octree_loader.cli", "--config", "octree.py", "image.npy"]
    with subprocess.Popen(
        [*command, "--bind", f"ipc://{folder}/d.sock"], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "octree-serve: serving image\n"
        with Peer(f"ipc://{folder}/d.sock") as peer:
            key = peer.describe("image").key(0, (0, 0))
            peer.want([key])
            peer.until(lambda: key in peer.ready)
        shown = json.loads(octree_serve("status", "--json", "--connect", f"ipc://{folder}/d.sock", cwd=folder).stdout)
        assert [pool["relative_level"] for pool in shown["pools"]] == [0, 2]
        # As in the example: ten threads each.
        assert {(pool["backend"], pool["workers_most"]) for pool in shown["pools"]} == {("threads", 10)}
        process.terminate()
        assert process.wait(5.0) == 0


def test_status_as_table_and_as_json(start_daemon: Callable[..., Daemon], folder: Path) -> None:
    image = Obedience(folder / "image")
    daemon = start_daemon({"datasets": {"image": image.source, "gone": "nothing-here.npy"}})
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        keys = [dataset.key(0, (0, 0)), dataset.key(0, (0, 1))]
        peer.want(keys)
        peer.until(lambda: peer.settled(keys))
        shown = json.loads(octree_serve("status", "--connect", daemon.address, "--json", cwd=folder).stdout)
        assert shown["pid"] == daemon.pid
        assert shown["addresses"] == [daemon.address]
        names = {entry["name"]: entry for entry in shown["datasets"]}
        assert names["image"]["state"] == "open"
        assert names["image"]["chunks"] >= 2
        assert names["gone"]["state"] == "closed"
        mine = next(client for client in shown["clients"] if client["name"] == "peer")
        assert mine["pid"] == os.getpid()
        assert mine["wanted"] == 2
        assert shown["arena"]["wanted"] > 0
        table = octree_serve("status", "--connect", daemon.address, cwd=folder).stdout
        for word in ("pools", "datasets", "clients", "processes", "image", str(daemon.pid)):
            assert word in table


def test_it_serves_what_the_command_line_names(folder: Path, shm: Path) -> None:
    np.save(folder / "a.npy", np.zeros((8, 8)))
    (folder / "octree.json").write_text(json.dumps({"memory": {"arena_bytes": "16MiB", "directory": str(shm)}}))
    command = [sys.executable, "-m", "octree_loader.cli", "--config", "octree.json", "one=a.npy", "a.npy"]
    binds = ["--bind", f"ipc://{folder}/1.sock", "--bind", "tcp://127.0.0.1:*"]
    with subprocess.Popen(
        [*command, *binds], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "octree-serve: serving one, a\n"
        addresses = [process.stdout.readline().split()[-1] for _ in binds[::2]]
        assert addresses[0] == f"ipc://{folder}/1.sock"
        assert addresses[1].startswith("tcp://127.0.0.1:")
        assert not addresses[1].endswith("*")
        for address in addresses:
            with Peer(address) as peer:
                assert peer.welcome is not None
                assert peer.welcome.datasets == ("one", "a")
        process.terminate()
        assert process.wait(5.0) == 0
