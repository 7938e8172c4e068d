"""Requests for parts of a file: every wanted byte lies in one of them, and their number and waste are bounded."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.sources.spans import Span, coalesce

_SPANS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(1, 300)).map(lambda pair: Span(pair[0], pair[0] + pair[1])), max_size=40
)


@settings(deadline=None, max_examples=300)
@given(spans=_SPANS, gap=st.integers(0, 500), most=st.integers(1, 3000))
def test_every_span_lies_in_one_request_and_no_request_is_too_long_or_has_too_long_a_gap(
    spans: list[Span], gap: int, most: int
) -> None:
    requests = coalesce(spans, gap, most)
    assert sorted(member for request in requests for member in request.members) == list(range(len(spans)))
    for request in requests:
        inside = sorted(spans[member] for member in request.members)
        assert request.low == inside[0].low
        assert request.high == max(span.high for span in inside)
        assert len(inside) == 1 or request.high - request.low <= most
        reached = inside[0].high
        for span in inside[1:]:
            assert span.low - reached <= gap
            reached = max(reached, span.high)


@settings(deadline=None, max_examples=200)
@given(spans=_SPANS, gap=st.integers(0, 500))
def test_what_lies_close_together_is_one_request(spans: list[Span], gap: int) -> None:
    requests = coalesce(spans, gap, 1 << 40)
    for before, after in itertools.pairwise(requests):
        assert after.low - before.high > gap


def test_a_row_of_neighbours_is_one_request() -> None:
    assert coalesce([Span(i * 100, i * 100 + 100) for i in (2, 0, 1)], 0, 1000) == [(0, 300, (1, 2, 0))]
