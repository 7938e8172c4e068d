"""PNG, JPEG and other pictures: decoded as a whole, once, when something of one is first read.

pillow reads them; PNGs of 16-bit colours are decoded by imagecodecs, for pillow keeps only 8 bits of them. The danger
that lives here is a small file that is a huge picture. Knows nothing of stacks (`stack`).
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import Piece, SourceError
from octree_loader.sources.boxes import slices_of
from octree_loader.sources.image_file import ImageFile, LocalFile
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

#: The longest file of a picture: pillow refuses those of 90 million voxels and more.
FILE_BYTES = 1 << 30

#: pillow tells of a picture that is too large by a warning, and who is warned is the same for all threads.
_warning = threading.Lock()


def open_picture(image: ImageFile, options: Placing, keep: bool = True) -> AssembledSource:
    """Open a picture as an image of one level; for `keep` see `PictureArray`. Raises `SourceError`."""
    array = PictureArray(image, keep)
    rgb = len(array.shape) == 3
    axes = (Axis("y"), Axis("x"), Axis("s", "samples"))[: 2 + rgb]
    return assemble(image.where, [array], Placing(axes, rgb=rgb), options)


class PictureArray:
    """A `LevelArray` over a picture.

    `keep` says that it stays in memory once it is decoded; otherwise it is decoded for every read.
    """

    def __init__(self, image: ImageFile, keep: bool = True) -> None:
        self.where = image.where
        self._image = image
        header = image.head(26).ljust(26, b"\0")
        with _opened(image) as picture:
            mode, dtype, samples = _MODES.get(picture.mode, ("RGB", "uint8", 3))
            if picture.mode == "P" and "transparency" in picture.info:
                mode, samples = "RGBA", 4
            width, height = picture.size
            # Bits of a sample of a PNG, and whether it has more than one.
            self._deep = picture.format == "PNG" and header[24] == 16 and header[25] in _PNG_SAMPLES
        if self._deep:
            dtype, samples = "uint16", _PNG_SAMPLES[header[25]]
        self._mode = mode
        self.shape: tuple[int, ...] = (height, width, samples) if samples else (height, width)
        check_shape(self.shape, self.where)
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
        with _opened(self._image, whole=True) as picture:
            picture.load()
            return np.asarray(picture if picture.mode == self._mode else picture.convert(self._mode))

    def _decode_deep(self) -> NDArray[Any]:
        import imagecodecs

        with _opened(self._image):
            voxels: NDArray[Any] = imagecodecs.png_decode(bytes(self._image.read_all(FILE_BYTES)))
        if voxels.ndim == 3 and voxels.shape[2] == 2:  # grey and alpha
            voxels = voxels[:, :, [0, 0, 0, 1]]
        return voxels


@contextlib.contextmanager
def _opened(image: ImageFile, whole: bool = False) -> Iterator[Any]:
    """The picture, of which only the header is read so far; refused if it is too large. `whole`: it will be decoded."""
    from PIL import Image, UnidentifiedImageError

    path = image.where
    far = whole and not isinstance(image, LocalFile)
    stream = io.BytesIO(image.read_all(FILE_BYTES)) if far else image.stream()
    with stream:
        try:
            with _warning, warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(stream)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise SourceError(
                f"{path} is too large for a picture, which is decoded as a whole ({error}): write it as a tiled TIFF "
                f"or an OME-Zarr"
            ) from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, OverflowError) as error:
            raise SourceError(
                f"{path} is no picture that can be read ({error}): it is damaged, copy it again"
            ) from error
        with picture:
            yield picture
