"""What a daemon has said of the chunks of one dataset. Pure (no I/O).

A chunk is announced once for as long as a daemon knows it as wanted, and a daemon knows only the last of several
working sets that were said in quick succession: so everything is remembered that may be of use later, whatever is
wanted when it comes. Knows nothing of slots' contents, tiles or cameras.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from octree_client.cover import PlaneChunk
from octree_client.slices import KeyTemplate
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Ready, Wanted

#: Announcements that are remembered: more than any working set, so that none is dropped that may still be used.
_READY_MOST = 16384

#: Chunks that the store does not have, and failures: what is forgotten is asked for once more.
_OTHERS_MOST = 16384


class News(NamedTuple):
    """What an announcement may change: `picture` what is seen now, `ahead` only what may come into view."""

    picture: bool = False
    ahead: bool = False


class Heard:
    """What is known of a dataset's chunks, and of those of the plane that is shown.

    Attributes
    ----------
    ready
        Where chunks lie, by name: several positions may lie in one chunk.
    missing, failed
        Chunks of the plane that the store does not have, and why others could not be read.
    load_ms
        How long a load takes; None while nobody knows.
    revision
        Rises whenever `missing` or `failed` change.
    """

    __slots__ = ("_absent", "_failed", "_template", "failed", "load_ms", "missing", "ready", "revision")

    def __init__(self, template: KeyTemplate) -> None:
        self.ready: OrderedDict[ChunkKey, Ready] = OrderedDict()
        self.missing: dict[PlaneChunk, None] = {}
        self.failed: dict[PlaneChunk, str] = {}
        self.load_ms: float | None = None
        self.revision = 0
        self._absent: OrderedDict[ChunkKey, None] = OrderedDict()
        self._failed: OrderedDict[ChunkKey, str] = OrderedDict()
        self._template = template

    def show(self, template: KeyTemplate) -> None:
        """This plane is shown from now on. What failed before is tried again."""
        self._template = template
        self.revision += 1
        self.failed.clear()
        chunks = (template.chunk(key) for key in self._absent)
        self.missing = {chunk: None for chunk in chunks if chunk is not None}

    def take(self, announce: Announce, number: int, wanted: Mapping[ChunkKey, Wanted]) -> News:
        """Take in an announcement; returns what of it concerns what is wanted now.

        Parameters
        ----------
        number
            Of the dataset, at the present daemon.
        wanted
            What is wanted, by name.
        """
        changed = ahead = False
        for load_time in announce.load_times:
            if load_time.dataset == number:
                self.load_ms = load_time.milliseconds
        ready = self.ready
        for one in announce.ready:
            key = one.key
            if key.dataset == number:
                ready[key] = one
                ready.move_to_end(key)
                entry = wanted.get(key)
                if entry is not None:
                    if entry.tier is Tier.VISIBLE:
                        changed = True
                    else:
                        ahead = True
        for key in announce.missing:
            if key.dataset == number:
                self._absent[key] = None
                chunk = self._template.chunk(key)
                if chunk is not None:
                    self.missing[chunk] = None
                    self.revision += 1
                    changed = True
        for failure in announce.failed:
            if failure.key.dataset == number:
                chunk = self._template.chunk(failure.key) if failure.key in wanted else None
                if chunk is not None:
                    self.failed[chunk] = failure.reason
                    self.revision += 1
                    changed = True
                else:
                    self._failed[failure.key] = failure.reason
        for store, most in ((ready, _READY_MOST), (self._absent, _OTHERS_MOST), (self._failed, _OTHERS_MOST)):
            while len(store) > most:
                store.popitem(last=False)
        return News(changed, ahead)

    def is_known_bad(self, key: ChunkKey) -> bool:
        """Whether the store does not have a chunk, or it could not be read when nobody looked."""
        return key in self._absent or key in self._failed

    def recall(self, key: ChunkKey) -> None:
        """A chunk is wanted that was not before: what was said of its failure meanwhile counts after all."""
        reason = self._failed.pop(key, None)
        if reason is not None:
            chunk = self._template.chunk(key)
            if chunk is not None:
                self.failed[chunk] = reason
                self.revision += 1

    def retry(self) -> int:
        """Forget what failed; returns how many chunks of the plane that were."""
        count = len(self.failed)
        self.revision += 1
        self.failed.clear()
        self._failed.clear()
        return count

    def forget_slots(self) -> None:
        """The daemon is gone, and its slots with it."""
        self.ready.clear()

    def start_over(self, template: KeyTemplate) -> None:
        """Another daemon serves the dataset, under another number."""
        self.revision += 1
        self.ready.clear()
        self._absent.clear()
        self._failed.clear()
        self.failed.clear()
        self._template = template
