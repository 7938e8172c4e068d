"""What probes, Prometheus and systemd are told, by a real attendant of a loop that the test can hang."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from octree_loader.loop import Loop
from octree_loader.monitoring import attendant as attendant_module
from octree_loader.monitoring.attendant import Attendant
from octree_loader.monitoring.http_listener import BURST, CONNECTIONS, HealthUnavailable
from octree_loader.monitoring.metrics import DATASETS_LABELLED, OTHERS, Exposition
from octree_loader.monitoring.notify import Notifier
from octree_loader.monitoring.observation import Observation, PoolBooks
from octree_loader.monitoring.readiness import PARTS, DatasetState, judge
from octree_loader.scheduling.profile import SPREAD_BOUNDS, Spread
from octree_protocol.messages import ArenaStatus, ClientStatus, DatasetStatus, PoolStatus, Status

_HERE = ("127.0.0.1", 0, True)


def _observation(states: list[DatasetState], datasets: int = 0) -> Observation:
    spread = Spread()
    for seconds in (0.0004, 0.003, 0.003, 100.0):
        spread.add(seconds)
    pool = PoolStatus(2, "processes", 3, 4, delayed=5, queued=6, loading=7, loaded=40, failed=2, deaths=1)
    named = [DatasetStatus(f"d{n}", "/x", "open", 2.0, chunks=1, nbytes=10) for n in range(datasets)]
    status = Status(
        "0.1.0", 1, 9.0, "i", (), ArenaStatus(1000, 600, 300, 100, 11), (pool,), tuple(named),
        (ClientStatus("viewer", 7, 2, 30, 12, 0.1),), 8, 50, 4,
    )  # fmt: skip
    return Observation(status, tuple(states), (PoolBooks(9, tuple(spread.counts), spread.seconds),), 4096)


class FakeDaemon:
    """A loop in a thread, which hangs while `hang` is held; and what the attendant has it do."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.states = [DatasetState("a", "opening")]
        self.reopened: list[tuple[str, ...]] = []
        self.looked = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.loop.wait(None)

    def observe(self) -> Observation:
        self.looked += 1
        return _observation(self.states)

    def attend(self, attendant: Attendant) -> None:
        for part in PARTS:
            attendant.reached(part)
        attendant.attend(self.loop.call, self.observe, self.reopened.append)

    def hang(self) -> threading.Event:
        """Until the event is set, the loop does not turn."""
        hung, go_on = threading.Event(), threading.Event()

        def stop() -> None:
            hung.set()
            go_on.wait(20.0)

        self.loop.call(stop)
        assert hung.wait(5.0)
        return go_on

    def end(self) -> None:
        self._ended.set()
        self.loop.call(lambda: None)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    made = FakeDaemon()
    yield made
    made.end()


@pytest.fixture
def attendant() -> Iterator[Attendant]:
    made = Attendant(_HERE, None)
    made.start()
    yield made
    made.close("")


def _get(attendant: Attendant, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(attendant.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10.0) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _wait_for_status(attendant: Attendant, path: str, status: int) -> str:
    until = time.monotonic() + 10.0
    while True:
        found, text = _get(attendant, path)
        if found == status:
            return text
        assert time.monotonic() < until, (found, text)


def test_readiness_comes_with_the_last_dataset(attendant: Attendant, daemon: FakeDaemon) -> None:
    assert _get(attendant, "/livez") == (200, "starting\n")
    status, text = _get(attendant, "/readyz")
    assert status == 503
    assert "the arena is not up yet" in json.loads(text)["reasons"]
    daemon.attend(attendant)
    assert _get(attendant, "/livez")[0] == 200
    waits = json.loads(_wait_for_status(attendant, "/readyz", 503))
    assert waits["reasons"]
    daemon.states = [DatasetState("a", "open")]
    assert json.loads(_wait_for_status(attendant, "/readyz", 200)) == {
        "ready": True,
        "reasons": [],
        "datasets": {"open": 1, "all": 1},
    }
    assert _get(attendant, "/livez") == (200, "ok\n")


def test_a_dataset_that_does_not_open_is_named_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, attendant: Attendant, daemon: FakeDaemon
) -> None:
    monkeypatch.setattr(attendant_module, "next_try", lambda tries: 0.02)  # noqa: ARG005
    daemon.states = [DatasetState("a", "open"), DatasetState("b", "unreadable", "its disk is not mounted")]
    daemon.attend(attendant)
    while not daemon.reopened:
        status, text = _get(attendant, "/readyz")
        assert status == 503
    assert json.loads(text)["reasons"] in (
        ["dataset 'b' does not open: its disk is not mounted"],
        ["the datasets have not been looked at yet"],
    )
    assert daemon.reopened[0] == ("b",)
    daemon.states = [DatasetState("a", "open"), DatasetState("b", "open")]
    _wait_for_status(attendant, "/readyz", 200)


def test_a_loop_that_hangs_is_not_alive_and_one_that_goes_on_is(
    monkeypatch: pytest.MonkeyPatch, attendant: Attendant, daemon: FakeDaemon
) -> None:
    monkeypatch.setattr(attendant_module, "LOOP_PATIENCE", 0.2)
    monkeypatch.setattr(attendant_module, "FRESH", 0.0)
    daemon.attend(attendant)
    _wait_for_status(attendant, "/livez", 200)
    go_on = daemon.hang()
    status, text = _get(attendant, "/livez")
    assert status == 503
    assert "has not turned" in text
    assert _get(attendant, "/metrics")[0] == 503
    go_on.set()
    _wait_for_status(attendant, "/livez", 200)


def test_books_that_cannot_be_read_do_not_end_the_daemon(attendant: Attendant, daemon: FakeDaemon) -> None:
    daemon.states = None  # type: ignore[assignment]
    daemon.attend(attendant)
    assert _get(attendant, "/readyz")[0] == 503
    assert _get(attendant, "/livez") == (200, "ok\n")


def test_other_paths_methods_and_hosts_are_refused(attendant: Attendant) -> None:
    assert _get(attendant, "/")[0] == 404
    assert _get(attendant, "/livez", Host="evil.example")[0] == 403
    request = urllib.request.Request(attendant.url + "/livez", data=b"x")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10.0)
    assert refused.value.code == 405
    refused.value.close()


def test_who_dawdles_or_talks_nonsense_keeps_no_probe_waiting(attendant: Attendant, daemon: FakeDaemon) -> None:
    daemon.states = [DatasetState("a", "open")]
    daemon.attend(attendant)
    _wait_for_status(attendant, "/readyz", 200)
    host, port = attendant.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as dawdlers:
        first = None
        for number in range(CONNECTIONS + 8):
            dawdler = dawdlers.enter_context(socket.create_connection((host, int(port)), timeout=10.0))
            first = first or dawdler
            dawdler.sendall(b"GET /metr" if number % 2 else b"\x00\xff" * 100)
        assert _get(attendant, "/livez") == (200, "ok\n")
        assert first is not None
        try:
            assert first.recv(1000) == b"", "the oldest should have made room"
        except ConnectionResetError:
            pass  # it has, before reading all that was said
    assert _get(attendant, "/readyz")[0] == 200


def test_a_flood_is_taken_at_a_bounded_rate_and_looked_up_once_a_second(
    attendant: Attendant, daemon: FakeDaemon
) -> None:
    daemon.states = [DatasetState("a", "open")]
    daemon.attend(attendant)
    _wait_for_status(attendant, "/readyz", 200)
    began, looked, asked = time.monotonic(), daemon.looked, int(BURST) + 25
    for _ in range(asked):
        assert _get(attendant, "/metrics")[0] == 200
    took = time.monotonic() - began
    assert took > 0.4  # what was beyond the burst had to wait, 20 ms each
    assert daemon.looked - looked <= took + 2


def test_an_address_that_is_taken_is_an_error_with_its_exit_status(attendant: Attendant) -> None:
    port = int(attendant.url.rpartition(":")[2])
    with pytest.raises(HealthUnavailable, match="choose another port") as taken:
        Attendant(("127.0.0.1", port, True), None)
    assert taken.value.exit_code == 69


# --- systemd ---------------------------------------------------------------------------------------------------------


class Manager:
    """The service manager's end."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.path = str(path)

    def hear(self, timeout: float = 10.0) -> dict[str, str]:
        self.socket.settimeout(timeout)
        return dict(line.split("=", 1) for line in self.socket.recv(8192).decode().split("\n"))

    def hear_until(self, name: str) -> dict[str, str]:
        until = time.monotonic() + 10.0
        while name not in (heard := self.hear()):
            assert time.monotonic() < until
        return heard


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


def test_systemd_is_told_when_everything_is_up_and_when_it_ends(manager: Manager, daemon: FakeDaemon) -> None:
    attendant = Attendant(None, Notifier(manager.path))
    attendant.start()
    daemon.attend(attendant)
    first = manager.hear()
    assert "READY" not in first
    assert first["STATUS"] == "0 of 1 datasets open; dataset 'a' is being opened"
    daemon.states = [DatasetState("a", "unreadable", "no such file")]
    ready = manager.hear_until("READY")
    # A service with one bad dataset serves the others: systemd would end one that is not ready in time.
    assert ready["STATUS"] == "0 of 1 datasets open; dataset 'a' does not open: no such file"
    attendant.close("SIGTERM")
    assert manager.hear() == {"STOPPING": "1", "STATUS": "ending: SIGTERM"}


def test_a_dataset_that_hangs_does_not_keep_systemd_waiting_for_ever(
    monkeypatch: pytest.MonkeyPatch, manager: Manager, daemon: FakeDaemon
) -> None:
    monkeypatch.setattr(attendant_module, "READY_PATIENCE", 0.2)
    attendant = Attendant(None, Notifier(manager.path))
    attendant.start()
    daemon.attend(attendant)
    manager.hear_until("READY")
    attendant.close("")


def test_the_watchdog_hears_nothing_from_a_loop_that_hangs(manager: Manager, daemon: FakeDaemon) -> None:
    daemon.states = [DatasetState("a", "open")]
    attendant = Attendant(None, Notifier(manager.path, watchdog=0.3))
    attendant.start()
    daemon.attend(attendant)
    for _ in range(3):
        manager.hear_until("WATCHDOG")
    go_on = daemon.hang()
    manager.socket.setblocking(False)
    while True:  # what was under way when it hung
        try:
            manager.socket.recv(8192)
        except BlockingIOError:
            break
    with pytest.raises(TimeoutError):
        manager.hear(timeout=0.6)
    go_on.set()
    manager.hear_until("WATCHDOG")
    attendant.close("")


# --- figures ---------------------------------------------------------------------------------------------------------


def _samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} twice: Prometheus would refuse all of it"
            found[key] = sample.value
    return found


def _value(samples: dict[Any, float], name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_figures_are_those_of_the_books() -> None:
    seen = _observation([DatasetState("a", "open"), DatasetState("b", "unreadable")], datasets=2)
    samples = _samples(Exposition().text(seen, judge(PARTS, seen.datasets)))
    assert _value(samples, "octree_ready") == 0
    assert _value(samples, "octree_clients") == 1
    assert _value(samples, "octree_wanted_chunks") == 30
    assert _value(samples, "octree_sent_bytes_total") == 4096
    assert _value(samples, "octree_requests_started_total") == 50
    assert _value(samples, "octree_requests_forgotten_total", **{"while": "waiting"}) == 8
    assert _value(samples, "octree_requests_forgotten_total", **{"while": "loading"}) == 4
    for result, count in (("loaded", 40), ("missing", 9), ("failed", 2)):
        assert _value(samples, "octree_loads_total", pool="2", result=result) == count
    assert _value(samples, "octree_worker_deaths_total", pool="2") == 1
    for place, count in (("delayed", 5), ("queued", 6), ("loading", 7)):
        assert _value(samples, "octree_queue_chunks", pool="2", place=place) == count
    for state, nbytes in (("wanted", 600), ("recent", 300), ("free", 100)):
        assert _value(samples, "octree_arena_bytes", state=state) == nbytes
    assert _value(samples, "octree_arena_capacity_bytes") == 1000
    assert _value(samples, "octree_arena_evictions_total") == 11
    assert _value(samples, "octree_datasets", state="unreadable") == 1
    assert _value(samples, "octree_dataset_chunks_total", dataset="d1") == 1
    assert _value(samples, "octree_load_seconds_bucket", pool="2", le="0.0005") == 1
    assert _value(samples, "octree_load_seconds_bucket", pool="2", le="0.005") == 3
    assert _value(samples, "octree_load_seconds_bucket", pool="2", le="60.0") == 3
    assert _value(samples, "octree_load_seconds_bucket", pool="2", le="+Inf") == 4
    assert _value(samples, "octree_load_seconds_sum", pool="2") == pytest.approx(100.0064)
    assert any(name == "process_resident_memory_bytes" for name, _ in samples)


def test_before_the_daemon_serves_there_is_one_figure() -> None:
    samples = _samples(Exposition().text(None, judge((), None)))
    assert _value(samples, "octree_ready") == 0


def test_a_thousand_datasets_are_not_a_thousand_series() -> None:
    seen = _observation([], datasets=1000)
    odd = seen.status.datasets[0]
    status = Status(
        **{
            **{name: getattr(seen.status, name) for name in seen.status.__struct_fields__},
            "datasets": (DatasetStatus(OTHERS, "/x", "open", chunks=5), odd, *seen.status.datasets[1:]),
        }
    )
    samples = _samples(Exposition().text(seen._replace(status=status), judge(PARTS, [])))
    chunks = {key: value for key, value in samples.items() if key[0] == "octree_dataset_chunks_total"}
    assert len(chunks) == DATASETS_LABELLED
    assert sum(chunks.values()) == 1000 + 5
    assert len(samples) < 1200


def test_a_spread_counts_every_load_once() -> None:
    spread = Spread()
    for bound in SPREAD_BOUNDS:
        spread.add(bound)
        spread.add(bound * 1.01)
    assert sum(spread.counts) == 2 * len(SPREAD_BOUNDS)
    assert spread.counts == [1, *[2] * (len(SPREAD_BOUNDS) - 1), 1]  # a bound belongs to what lies below it
