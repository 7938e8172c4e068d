"""A store whose root is a node of another one: an image among the many of a plate.

Knows nothing of what the nodes are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from octree_loader.sources.chunk_files import Fetch, Index
from octree_loader.sources.stores import Store, check_node, name_in


class Subtree:
    """See `stores.Store`; all nodes are those below `top` of `store`."""

    def __init__(self, store: Store, top: str) -> None:
        self._store = store
        self._top = check_node(store.where, top)
        self.where = name_in(store.where, self._top)

    def _at(self, node: str) -> str:
        return name_in("", self._top, node)

    def document(self, node: str, name: str) -> Any | None:
        """See `Store.document`."""
        return self._store.document(self._at(node), name)

    def children(self, node: str) -> list[str]:
        """See `Store.children`."""
        return self._store.children(self._at(node))

    def chunks(self, node: str, prefix: str, separator: str, nbytes_most: int) -> Fetch:
        """See `Store.chunks`."""
        return self._store.chunks(self._at(node), prefix, separator, nbytes_most)

    def shards(
        self, node: str, prefix: str, separator: str, nbytes_most: int, chunks_per_shard: Index, index_at_end: bool
    ) -> Fetch | None:
        """See `Store.shards`."""
        return self._store.shards(self._at(node), prefix, separator, nbytes_most, chunks_per_shard, index_at_end)

    def sizes(self, node: str, prefix: str, separator: str) -> Callable[[Index], int | None]:
        """See `Store.sizes`."""
        return self._store.sizes(self._at(node), prefix, separator)

    def folder(self, node: str) -> str | None:
        """See `Store.folder`."""
        return self._store.folder(self._at(node))

    def kvstore(self, node: str) -> dict[str, Any] | None:
        """See `Store.kvstore`."""
        return self._store.kvstore(self._at(node))

    def for_zarr(self, node: str) -> tuple[Any, str]:
        """See `Store.for_zarr`."""
        return self._store.for_zarr(self._at(node))

    def expect(self, nodes: Sequence[str]) -> None:
        """Tell a distant store which arrays will be opened next."""
        expect = getattr(self._store, "expect", None)
        if expect is not None:
            expect([self._at(node) for node in nodes])
