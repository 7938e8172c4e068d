"""What the panel of the system says: every figure where it belongs, and nothing divided by nothing."""

from __future__ import annotations

from octree_client.cover import Piece
from octree_client.statistics import FrameRecord
from octree_client.system_text import arena_bar, dataset_rows, pool_rows, rate_lines, tiles_bar, working_set_rows
from octree_protocol.keys import CellStatus
from octree_protocol.messages import ArenaStatus, DatasetStatus, PoolStatus, Status

STATUS = Status(
    version="1",
    pid=1,
    uptime_seconds=5.0,
    instance="i",
    addresses=("ipc:///x",),
    arena=ArenaStatus(nbytes=1000, wanted=250, recent=500, free=250, evictions=7),
    pools=(PoolStatus(0, "processes", 2, 10, delayed=3, queued=0, loading=1, failed=4),),
    datasets=(
        DatasetStatus("slow", "/a", "open", bytes_per_second=10.0, chunks_per_second=0.5, load_ms=12.34),
        DatasetStatus("fast", "/b", "open", bytes_per_second=3 * 2**20, chunks_per_second=40.0, load_ms=1.0),
    ),
    clients=(),
    requests_forgotten=30,
    requests_started=70,
)


def test_cells_are_counted_by_level_and_state() -> None:
    rect = (0.0, 0.0, 1.0, 1.0)
    pieces = [Piece((level, 0, n), rect, 1, state) for n, (level, state) in enumerate(
        [(0, CellStatus.FINAL), (0, CellStatus.FINAL), (2, CellStatus.PROVISIONAL), (0, CellStatus.FAILED)]
    )]  # fmt: skip
    rows = working_set_rows(pieces)
    assert rows[0] == ("level", "final", "coarse", "missing", "failed", "empty")
    assert rows[1:] == [("0", "2", "·", "·", "1", "·"), ("2", "·", "1", "·", "·", "·")]
    assert working_set_rows([]) == rows[:1]


def test_pools_and_datasets() -> None:
    assert pool_rows(STATUS)[1] == ("+0 processes", "2/10", "3", "·", "1", "4")
    names = [row[0] for row in dataset_rows(STATUS)]
    assert names == ["dataset", "fast", "slow"], "the fastest first"
    assert dataset_rows(STATUS)[1][1:] == ("3.0 MiB", "40.0", "1.0")


def test_bars() -> None:
    bar = arena_bar(STATUS)
    assert [share for share, _ in bar.parts] == [0.25, 0.5]
    assert bar.text == "250 B held, 500 B kept, of 1000 B"
    assert tiles_bar(3, 12, 2**20).parts == ((0.25, 1.0),)
    assert tiles_bar(0, 0, 0).parts == ((0.0, 1.0),)


def test_rates() -> None:
    frame = FrameRecord(
        at=0.0, plan=1.0, upload=2.0, submit=1.0, draw=9.0, uploads=2, nbytes=8, cells=10, final=8, empty=0
    )
    lines = dict(rate_lines(STATUS, [frame, frame]))
    assert lines["own work"] == "4.0 ms, 99 %: 4.0"
    assert lines["found in video memory"] == "60 %"
    assert lines["drawn from another level"] == "20 %"
    assert lines["forgotten in time"] == "30 % of 100"
    assert lines["evictions"] == "7"
    assert lines["rate"] == "3.0 MiB/s"
    empty = dict(rate_lines(None, []))
    assert empty["found in video memory"] == "·"
    assert "rate" not in empty
