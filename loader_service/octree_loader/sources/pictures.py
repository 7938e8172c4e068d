"""PNG, JPEG and other pictures: decoded as a whole, once, when something of one is first read.

pillow reads them; PNGs of 16-bit colours are decoded by imagecodecs, for pillow keeps only 8 bits of them. The danger
that lives here is a small file that is a huge picture. Knows nothing of stacks (`stack`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import Piece, SourceError
from octree_loader.sources.boxes import slices_of
from octree_loader.sources.zarr_metadata import check_shape
from octree_protocol.geometry import Axis

#: Names of files that pillow is asked for.
SUFFIXES: tuple[str, ...] = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".bmp",
    ".gif",
    ".webp",
    ".jp2",
    ".j2k",
    ".jpx",
    ".avif",
    ".ppm",
    ".pgm",
)
SUFFIXES += (".pbm", ".pnm", ".tga", ".ico", ".pcx", ".sgi", ".dds", ".apng")

#: What each of pillow's modes is read as, and the voxels that come out; the others are turned into RGB.
_MODES: dict[str, tuple[str, str, int]] = {
    "1": ("1", "bool", 0), "L": ("L", "uint8", 0), "P": ("RGB", "uint8", 3), "LA": ("RGBA", "uint8", 4),
    "PA": ("RGBA", "uint8", 4), "RGB": ("RGB", "uint8", 3), "RGBA": ("RGBA", "uint8", 4), "I": ("I", "int32", 0),
    "F": ("F", "float32", 0), "I;16": ("I;16", "uint16", 0), "I;16B": ("I;16B", "uint16", 0),
    "I;16L": ("I;16L", "uint16", 0), "RGBa": ("RGBA", "uint8", 4), "La": ("RGBA", "uint8", 4),
}  # fmt: skip

#: Colours of a PNG (grey with alpha, RGB, RGBA), and the samples that they are shown with.
_PNG_SAMPLES = {2: 3, 4: 4, 6: 4}

#: pillow tells of a picture that is too large by a warning, and who is warned is the same for all threads.
_warning = threading.Lock()


def open_picture(path: str, options: Placing, keep: bool = True) -> AssembledSource:
    """Open a picture as an image of one level; for `keep` see `PictureArray`. Raises `SourceError`."""
    array = PictureArray(path, keep)
    rgb = len(array.shape) == 3
    axes = (Axis("y"), Axis("x"), Axis("s", "samples"))[: 2 + rgb]
    return assemble(path, [array], Placing(axes, rgb=rgb), options)


class PictureArray:
    """A `LevelArray` over a picture.

    `keep` says that it stays in memory once it is decoded; otherwise it is decoded for every read.
    """

    def __init__(self, path: str, keep: bool = True) -> None:
        self.where = path
        with _opened(path) as picture:
            mode, dtype, samples = _MODES.get(picture.mode, ("RGB", "uint8", 3))
            if picture.mode == "P" and "transparency" in picture.info:
                mode, samples = "RGBA", 4
            width, height = picture.size
            self._deep = picture.format == "PNG" and _png_depth(path) == (16, True)
        if self._deep:
            dtype, samples = "uint16", _png_samples(path)
        self._mode = mode
        self.shape: tuple[int, ...] = (height, width, samples) if samples else (height, width)
        check_shape(self.shape, path)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.storage_chunk: tuple[int, ...] = self.shape
        self.shard: tuple[int, ...] | None = None
        self.random_access = keep
        self.fill_value = 0.0
        self._voxels: NDArray[Any] | None = None
        self._decoding = threading.Lock()

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        with self._decoding:
            voxels = self._decode() if self._voxels is None else self._voxels
            if self.random_access:
                self._voxels = voxels
        for box, out in pieces:
            np.copyto(out, voxels[slices_of(box)])
        return [True] * len(pieces)

    def _decode(self) -> NDArray[Any]:
        try:
            voxels = self._decode_deep() if self._deep else self._decode_plain()
        except SourceError:
            raise
        except Exception as error:  # each of pillow's readers has errors of its own
            raise SourceError(
                f"{self.where} cannot be decoded ({type(error).__name__}: {error}): it is truncated or corrupt, "
                f"copy it again"
            ) from error
        if voxels.shape != self.shape:
            raise SourceError(f"{self.where} has changed since it was opened: open it again")
        return voxels.astype(self.dtype, copy=False)

    def _decode_plain(self) -> NDArray[Any]:
        with _opened(self.where) as picture:
            picture.load()
            return np.asarray(picture if picture.mode == self._mode else picture.convert(self._mode))

    def _decode_deep(self) -> NDArray[Any]:
        import imagecodecs

        with _opened(self.where), open(self.where, "rb") as file:
            voxels: NDArray[Any] = imagecodecs.png_decode(file.read())
        if voxels.ndim == 3 and voxels.shape[2] == 2:  # grey and alpha
            voxels = voxels[:, :, [0, 0, 0, 1]]
        return voxels


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The picture, of which only the header is read so far; refused if it is too large."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not os.path.isfile(path):
            raise SourceError(f"{path} is no file")
        with _warning, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceError(
            f"{path} is too large for a picture, which is decoded as a whole ({error}): write it as a tiled TIFF or an "
            f"OME-Zarr"
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, OverflowError) as error:
        raise SourceError(f"{path} is no picture that can be read ({error}): it is damaged, copy it again") from error
    with picture:
        yield picture


def _png_depth(path: str) -> tuple[int, bool]:
    """Bits of a sample of a PNG, and whether it has more than one sample."""
    header = _png_header(path)
    return header[24], header[25] in _PNG_SAMPLES


def _png_samples(path: str) -> int:
    return _PNG_SAMPLES[_png_header(path)[25]]


def _png_header(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(26).ljust(26, b"\0")
