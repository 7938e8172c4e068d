"""How a pyramid is cut: blocks cover every level once, and no two of them ever touch one file."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from octree_loader.demo.pyramid_plan import Plan, multiscale, plan_pyramid

_EDGES = st.tuples(st.integers(1, 3), st.integers(1, 9000), st.integers(1, 9000))


def _plan(shape: tuple[int, ...], chunk: int, shards: int | None) -> Plan:
    return plan_pyramid(np.zeros, shape, "u2", None, chunk, shards, None, "lz4", 3)


@given(_EDGES, st.sampled_from([64, 100, 256, 700]), st.sampled_from([None, 1, 4, 16]))
def test_blocks_cover_every_level_once_and_share_no_file(
    shape: tuple[int, ...], chunk: int, chunks_a_file: int | None
) -> None:
    plan = _plan(shape, chunk, None if chunks_a_file is None else chunk * chunks_a_file)
    file = plan.shard or plan.chunk
    assert all(edge <= chunk for edge in plan.shapes[-1][-2:])
    for level in range(plan.depth + 1):
        boxes = [plan.box(index, level) for index in plan.blocks()]
        along = [sorted({box[axis] for box in boxes}) for axis in range(3)]
        # What it covers along each axis, put together, is the whole axis; blocks are all combinations of these.
        assert sorted(product(*along)) == sorted(boxes)
        for spans, edge, whole in zip(along, plan.shapes[level], file, strict=True):
            assert spans[0][0] == 0
            assert max(high for _, high in spans) == edge
            for (_, high), (low, _) in pairwise(spans):
                assert high == low
                assert low % whole == 0


def test_the_mean_of_voxels_lies_in_their_middle() -> None:
    plan = _plan((3, 1000, 500), 256, None)
    entry = multiscale(plan, 0.5, "image")
    assert [(axis["name"], axis["type"]) for axis in entry["axes"]] == [("z", "space"), ("y", "space"), ("x", "space")]
    for level, dataset in enumerate(entry["datasets"]):
        scale, translation = dataset["coordinateTransformations"]
        assert scale["scale"] == [0.5, 0.5 * 2**level, 0.5 * 2**level]
        assert translation["translation"] == [0.0, *[0.25 * (2**level - 1)] * 2]
