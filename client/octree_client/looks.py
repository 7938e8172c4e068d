"""How a layer is shown: a value that is checked when it is made. Pure (no I/O).

Knows nothing of GL, of data or of who listens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

Blending = Literal["translucent", "additive", "minimum", "opaque"]
Interpolation = Literal["nearest", "linear"]
LayerKind = Literal["image", "rgb", "labels"]

#: The ways in which a layer may lie over what is below it.
BLENDINGS: tuple[str, ...] = get_args(Blending)

INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)

#: A contour is at most so many pixels thick: beyond that it is a filled label with rough edges.
CONTOUR_MOST = 16


@dataclass(frozen=True, slots=True)
class Look:
    """How a layer is shown.

    Attributes
    ----------
    opacity
        0 (nothing to be seen) .. 1. An opaque layer has none.
    blending
        How it lies over what is below: ``translucent`` mixes, ``additive`` adds light, ``minimum`` keeps the darker of
        both, ``opaque`` covers.
    contrast_limits
        Data values of the colour map's ends; the first may be the larger one.
    auto_contrast
        Whether the limits follow the data.
    auto_quantiles
        Which parts of the data lie below the lower and below the upper limit then.
    gamma
        Exponent between the limits.
    colormap
        A name of the ``cmap`` catalogue, or a colour, ``#rrggbb``, for black to that colour.
    overlay
        Whether cells are tinted by status and level, with their outlines.
    selected_label, show_selected_only
        Of labels: the one that is chosen, and whether all others are left out.
    contour
        Of labels: logical pixels of an outline, within each label; 0 fills them. Up to 4, any label that a pixel
        shows has its outline; thicker ones may miss what is narrower than a quarter of them.
    seed
        Of labels: another number, other colours.
    level_lock
        The level that is shown whatever the zoom; None for the one that fits.
    quality
        Added to the level that fits, in levels: above 0 is finer.
    """

    visible: bool = True
    opacity: float = 1.0
    blending: Blending = "translucent"
    contrast_limits: tuple[float, float] = (0.0, 1.0)
    auto_contrast: bool = True
    auto_quantiles: tuple[float, float] = (0.001, 0.999)
    gamma: float = 1.0
    colormap: str = "gray"
    interpolation: Interpolation = "linear"
    overlay: bool = False
    selected_label: int | None = None
    show_selected_only: bool = False
    contour: int = 0
    seed: int = 0
    level_lock: int | None = None
    quality: float = 0.0

    def __post_init__(self) -> None:
        _check(0.0 <= self.opacity <= 1.0, f"opacity is 0 .. 1, not {self.opacity}")
        _check(self.blending in BLENDINGS, f"blending is one of {', '.join(BLENDINGS)}, not {self.blending!r}")
        _check(
            len(self.contrast_limits) == 2 and all(isfinite(v) for v in self.contrast_limits),
            f"contrast limits are two finite numbers, not {self.contrast_limits}",
        )
        low, high = self.auto_quantiles
        _check(0.0 <= low < high <= 1.0, f"quantiles are 0 <= low < high <= 1, not {self.auto_quantiles}")
        _check(0.0 < self.gamma < float("inf"), f"gamma must be above 0, not {self.gamma}")
        _check(
            self.interpolation in INTERPOLATIONS,
            f"interpolation is one of {', '.join(INTERPOLATIONS)}, not {self.interpolation!r}",
        )
        _check(0 <= self.contour <= CONTOUR_MOST, f"a contour has 0 to {CONTOUR_MOST} pixels, not {self.contour}")
        _check(self.level_lock is None or self.level_lock >= 0, f"levels count from 0, not {self.level_lock}")
        _check(abs(self.quality) <= 8.0, f"quality is -8 .. 8 levels, not {self.quality}")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
