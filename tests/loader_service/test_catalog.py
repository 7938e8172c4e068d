"""Names of datasets, and what opening each comes to: once, in a thread, told to all who asked."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.http_server import HttpServer

import octree_loader.catalog
from octree_loader.catalog import Catalog, plan_spec, voxel_bytes
from octree_loader.planning import DatasetPlan
from octree_loader.sources.base import SourceError, SourceSpec


class OwnThread:
    """Stands for the daemon's loop: calls wait here until the test lets them run."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()

    def run_one(self) -> None:
        self.calls.get(timeout=10.0)()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.zeros((300, 200), np.uint16))
    return tmp_path / "a.npy"


def test_all_who_ask_while_it_opens_get_the_same_plan(file: Path) -> None:
    loop, told = OwnThread(), []
    catalog = Catalog((SourceSpec("a", str(file)),), 64, loop.calls.put)
    for _ in range(3):
        catalog.open("a", lambda plan, reason: told.append((plan, reason)))
    assert catalog.entries["a"].state == "opening"
    assert told == []
    loop.run_one()
    assert len(told) == 3
    assert len({id(plan) for plan, _ in told}) == 1
    assert loop.calls.empty()
    catalog.open("a", lambda plan, reason: told.append((plan, reason)))
    assert told[-1] == told[0]


def test_what_did_not_open_is_tried_anew(tmp_path: Path) -> None:
    loop: OwnThread = OwnThread()
    told: list[tuple[DatasetPlan | None, str]] = []
    catalog = Catalog((SourceSpec("a", str(tmp_path / "a.npy")),), 64, loop.calls.put)
    catalog.open("a", lambda plan, reason: told.append((plan, reason)))
    loop.run_one()
    assert told[0][0] is None
    assert "a.npy" in told[0][1]
    assert catalog.entries["a"].state == "unreadable"
    np.save(tmp_path / "a.npy", np.zeros((10, 10)))
    catalog.open("a", lambda plan, reason: told.append((plan, reason)))
    loop.run_one()
    assert told[1][0] is not None
    assert catalog.entries["a"].state == "open"


def test_an_unknown_name_is_answered_with_those_that_are_known() -> None:
    told: list[tuple[DatasetPlan | None, str]] = []
    Catalog((SourceSpec("a", "x"), SourceSpec("b", "y")), 64, lambda _: None).open("c", lambda *a: told.append(a))
    assert told == [(None, "there is no dataset named 'c'; this daemon serves: a, b")]


def test_a_plan_knows_its_number_and_the_bytes_of_a_voxel(file: Path) -> None:
    plan = plan_spec(7, SourceSpec("a", str(file)), 64)
    assert plan.dataset.id == 7
    assert plan.dataset.levels[0].chunk_shape == (64, 64)
    assert voxel_bytes(plan) == 2
    with pytest.raises(SourceError):
        plan_spec(0, SourceSpec("a", str(file) + ".not"), 64)


def test_levels_are_made_in_the_background_here_and_on_demand_from_afar(file: Path) -> None:
    def background(location: str, **options: object) -> bool:
        making = plan_spec(0, SourceSpec("a", location, options), 64).making
        assert making is not None
        return making.background

    assert background(str(file))
    assert not background(str(file), make_levels="on-demand")
    with HttpServer(file.parent) as server:
        assert not background(f"{server.url}/a.npy")
        assert background(f"{server.url}/a.npy", make_levels="background")
    with pytest.raises(SourceError, match="make_levels is 'never': say background or on-demand"):
        background(str(file), make_levels="never")


def test_a_store_that_is_busy_for_a_moment_is_asked_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(octree_loader.catalog, "OPENING_PAUSES", (0.01, 0.01))
    with HttpServer(file.parent) as server:
        for fault, times, opens in ((503, 4, True), (503, None, False), (400, 1, False)):
            server.behaviour.fail("", fault, times)
            loop, told = OwnThread(), []
            catalog = Catalog((SourceSpec("a", f"{server.url}/a.npy"),), 64, loop.calls.put)
            catalog.open("a", lambda plan, reason, told=told: told.append((plan, reason)))
            loop.run_one()
            assert (told[0][0] is not None) == opens
            assert opens or f"answers {fault}" in told[0][1]
