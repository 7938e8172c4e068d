"""A worker over a socket pair: what it is sent, what it answers, and what it writes into slots."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from octree_loader.catalog import plan_spec
from octree_loader.orders import (
    PACKET_BYTES,
    LoadOrder,
    LoadOrders,
    OpenDataset,
    Outcome,
    decode_outcomes,
    encode_order,
)
from octree_loader.sources.base import SourceSpec
from octree_loader.worker import Loader, serve
from octree_protocol.slots import DONE, NOT_BEGUN, SLOT_HEADER_BYTES, read_progress, write_generation

VOXELS = np.arange(128 * 128, dtype=np.uint16).reshape(128, 128)
SLOT = 64 * 64 * 2 + SLOT_HEADER_BYTES


class Bench:
    """A worker in a thread, and the daemon's end of its channel."""

    def __init__(self, location: str) -> None:
        self.memory = bytearray(16 * SLOT)
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(10.0)
        plan = plan_spec(0, SourceSpec("a", location), 64)
        self._thread = threading.Thread(target=self._run, args=(theirs,))
        self._thread.start()
        self.ours.send(encode_order(OpenDataset(plan.dataset, location, json.dumps({}))))

    def _run(self, channel: socket.socket) -> None:
        with channel:
            serve(channel, Loader(memoryview(self.memory)))

    def load(self, *orders: LoadOrder) -> dict[int, Outcome]:
        for order in orders:
            write_generation(memoryview(self.memory), order.slots[0], 1)
        self.ours.send(encode_order(LoadOrders(orders)))
        found: dict[int, Outcome] = {}
        while len(found) < len(orders):
            found |= {outcome.task: outcome for outcome in decode_outcomes(self.ours.recv(PACKET_BYTES))}
        return found

    def slot(self, number: int) -> np.ndarray:
        return np.frombuffer(self.memory, "<u2", 64 * 64, number * SLOT + SLOT_HEADER_BYTES).reshape(64, 64)

    def close(self) -> None:
        self.ours.close()
        self._thread.join(10.0)
        assert not self._thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    np.save(tmp_path / "a.npy", VOXELS)
    bench = Bench(str(tmp_path / "a.npy"))
    yield bench
    bench.close()


def order(task: int, *indices: tuple[int, int], slot: int = 0, concurrent: bool = False) -> LoadOrder:
    slots = tuple((slot + n) * SLOT for n in range(len(indices)))
    return LoadOrder(task, 0, 0, concurrent, indices, slots)


@pytest.mark.parametrize("concurrent", [False, True])
def test_chunks_lie_in_their_slots_when_it_says_so(bench: Bench, concurrent: bool) -> None:
    outcomes = bench.load(*(order(n, (n // 2, n % 2), slot=n, concurrent=concurrent) for n in range(4)))
    assert all(outcome.present == (True,) and not outcome.error for outcome in outcomes.values())
    for n in range(4):
        row, column = 64 * (n // 2), 64 * (n % 2)
        np.testing.assert_array_equal(bench.slot(n), VOXELS[row : row + 64, column : column + 64])
        assert read_progress(memoryview(bench.memory), n * SLOT) == DONE


def test_one_load_may_fill_several_slots(bench: Bench) -> None:
    (outcome,) = bench.load(order(9, (0, 0), (1, 1), slot=3)).values()
    assert outcome.present == (True, True)
    assert outcome.wall_ns > 0
    np.testing.assert_array_equal(bench.slot(4), VOXELS[64:, 64:])


def test_what_goes_wrong_costs_that_load_only(bench: Bench) -> None:
    wrong = LoadOrder(1, 0, 5, False, ((0, 0),), (0,))
    unknown = LoadOrder(2, 99, 0, False, ((0, 0),), (SLOT,))
    outcomes = bench.load(wrong, unknown, order(3, (0, 0), slot=2))
    assert outcomes[1].error
    assert outcomes[2].error
    assert outcomes[3].present == (True,)


def test_a_slot_that_is_given_away_has_no_progress() -> None:
    memory = memoryview(bytearray(SLOT))
    write_generation(memory, 0, 5)
    assert read_progress(memory, 0) == NOT_BEGUN


def test_a_worker_keeps_only_so_many_datasets_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of each stays mapped while it is open; one that went is opened anew when it is wanted again."""
    monkeypatch.setattr("octree_loader.worker._OPEN_MOST", 2)
    memory = memoryview(bytearray(SLOT))
    loader = Loader(memory)
    for number in range(4):
        location = str(tmp_path / f"{number}.npy")
        np.save(location, VOXELS + number)
        plan = plan_spec(number, SourceSpec(str(number), location), 64)
        loader.add(OpenDataset(plan.dataset, location, json.dumps({})))
    for number in (0, 1, 2, 3, 0):
        outcome = loader.load(LoadOrder(number, number, 0, False, ((1, 1),), (0,)))
        assert (outcome.error, outcome.present) == ("", (True,))
        found = np.frombuffer(memory, "<u2", 64 * 64, SLOT_HEADER_BYTES).reshape(64, 64)
        np.testing.assert_array_equal(found, VOXELS[64:, 64:] + number)
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        assert sum(name.startswith(str(tmp_path)) for name in mapped) <= 2
