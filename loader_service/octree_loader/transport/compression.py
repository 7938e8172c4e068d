"""Whether a chunk is compressed for a link, and how: measured, not guessed. Pure (no I/O).

A codec pays where compressing and sending what is left takes less time than sending the chunk as it is. How fast each
codec is, and how much it leaves, depends on the data: it is measured on each dataset's own chunks, tried now and then.
How fast a link is says `link`. Decoding is left out: both codecs decode several times faster than they encode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import imagecodecs

#: Bytes that compress to more than this are sent as they are: decoding would cost more than it saves.
_WORTHWHILE = 0.95

#: Weight of the newest measurement.
_NEWEST = 0.2

#: Chunks of a dataset on which each codec is tried first, and after how many it is tried again.
_TRIALS, _TRY_AGAIN = 3, 256

#: No codec is faster than this: a link that is needs none of them tried. Bytes a second.
_FASTEST = 4e9


def _lz4(data: bytes) -> bytes:
    return bytes(imagecodecs.lz4_encode(data))


def _zstd(data: bytes) -> bytes:
    return bytes(imagecodecs.zstd_encode(data, level=1))


#: Encoders by their name on the wire.
ENCODERS: dict[str, Callable[[bytes], bytes]] = {"lz4": _lz4, "zstd": _zstd}


class Encoded(NamedTuple):
    """A chunk as it travels. `encoding` is "" for bytes as they are; `seconds` is what it took."""

    encoding: str
    data: bytes
    seconds: float


def encode(data: bytes, codec: str, clock: Callable[[], float]) -> Encoded:
    """Compress a chunk; one that hardly becomes shorter stays as it is."""
    began = clock()
    made = ENCODERS[codec](data)
    seconds = clock() - began
    return Encoded(codec, made, seconds) if len(made) < _WORTHWHILE * len(data) else Encoded("", data, seconds)


class _Measured:
    """One codec on one dataset: seconds to encode a byte, and bytes left of one."""

    __slots__ = ("left", "seconds", "trials")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.left = 1.0
        self.trials = 0

    def observe(self, nbytes: int, left: int, seconds: float) -> None:
        weight = _NEWEST if self.trials else 1.0
        self.seconds += weight * (seconds / nbytes - self.seconds)
        self.left += weight * (left / nbytes - self.left)
        self.trials += 1


class Compression:
    """What is known of the codecs, dataset by dataset.

    Parameters
    ----------
    choice
        ``auto`` measures; else ``none``, ``lz4`` or ``zstd``, always.
    """

    def __init__(self, choice: str = "auto") -> None:
        self.choice = choice
        self._measured: dict[tuple[int, str], _Measured] = {}
        self._chosen: dict[int, int] = {}

    def choose(self, dataset: int, codecs: Sequence[str], rate: float | None) -> str:
        """The codec for the next chunk.

        Parameters
        ----------
        codecs
            What the client can decode.
        rate
            Bytes a second of the link; None if unknown.

        Returns
        -------
        str
            A name in `ENCODERS`, or "" for none.
        """
        if self.choice != "auto":
            return self.choice if self.choice in codecs and self.choice in ENCODERS else ""
        if rate is None or rate > _FASTEST:
            return ""
        count = self._chosen[dataset] = self._chosen.get(dataset, 0) + 1
        best, best_seconds = "", 1.0 / rate
        for codec in ENCODERS:
            if codec not in codecs:
                continue
            known = self._measured.get((dataset, codec))
            if known is None or known.trials < _TRIALS:
                return codec
            if count % _TRY_AGAIN == len(codec):  # not all of them on the same chunk
                return codec
            seconds = known.seconds + known.left / rate
            if seconds < best_seconds:
                best, best_seconds = codec, seconds
        return best

    def observe(self, dataset: int, codec: str, nbytes: int, encoded: Encoded) -> None:
        """A chunk of `nbytes` was compressed."""
        known = self._measured.setdefault((dataset, codec), _Measured())
        known.observe(nbytes, len(encoded.data), encoded.seconds)
