"""How a look changes key by key, and what is said of it then. Pure (no I/O).

A key changes one part of a `Look` by one step; what parts there are, for which kinds of layers, and how far each goes,
stands in one table. Knows nothing of keys, windows or data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from octree_client.colormaps import FAVOURITES
from octree_client.looks import BLENDINGS, CONTOUR_MOST, INTERPOLATIONS, Look

#: What sliders reach. A script may go further.
GAMMA_LEAST, GAMMA_MOST = 0.1, 4.0

#: Levels finer or coarser by hand, at most.
QUALITY_USUAL = 3.0

#: Most of the data that automatic contrast cuts at either end. Percent.
CUT_MOST = 49.0

#: What a key cuts at both ends, one after the other. Percent.
CUTS = (0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)

_IMAGES = ("image", "rgb")
_ALL = ("image", "rgb", "labels")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a look.

    Attributes
    ----------
    name
        As people call it.
    kinds
        The kinds of layers that have it.
    step
        The look that is so many steps further; the same one at an end.
    text
        What it is in a look, in words.
    """

    name: str
    kinds: tuple[str, ...]
    step: Callable[[Look, int], Look]
    text: Callable[[Look], str]


def cut_of(quantiles: tuple[float, float]) -> tuple[float, float]:
    """What is cut at the dark and at the bright end, in percent.

    >>> cut_of((0.001, 0.995))
    (0.1, 0.5)
    """
    return round(100.0 * quantiles[0], 6), round(100.0 * (1.0 - quantiles[1]), 6)


def quantiles_of(dark: float, bright: float) -> tuple[float, float]:
    """The quantiles that cut so many percent. Raises `ValueError` where nothing would be left."""
    if not (dark >= 0.0 and bright >= 0.0 and dark + bright < 100.0):
        raise ValueError(f"something must be left between the darkest {dark:g} % and the brightest {bright:g} %")
    return round(dark / 100.0, 8), round(1.0 - bright / 100.0, 8)


def cut_text(quantiles: tuple[float, float]) -> str:
    """What automatic contrast leaves out, in words."""
    dark, bright = cut_of(quantiles)
    if dark == bright == 0.0:
        return "from the darkest to the brightest value"
    return f"without the darkest {dark:g} % and the brightest {bright:g} %"


def next_of(options: Sequence[str], now: str, step: int) -> str:
    """So many further in a circle; from what is none of them, to the first or the last."""
    if now not in options:
        return options[0 if step > 0 else -1]
    return options[(options.index(now) + step) % len(options)]


def _between(value: float, least: float, most: float) -> float:
    return round(min(max(value, least), most), 6)


def _cut_step(look: Look, step: int) -> Look:
    """Along `CUTS`, from what is cut most; automatic contrast is on then."""
    now = max(cut_of(look.auto_quantiles))
    further = [cut for cut in CUTS if cut > now] if step > 0 else [cut for cut in reversed(CUTS) if cut < now]
    cut = further[min(abs(step), len(further)) - 1] if further else CUTS[-1 if step > 0 else 0]
    return replace(look, auto_quantiles=quantiles_of(cut, cut), auto_contrast=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _quality_text(look: Look) -> str:
    if look.quality == 0.0:
        return "quality: what fits the screen"
    amount = f"{abs(look.quality):g} level{'' if abs(look.quality) == 1 else 's'}"
    return f"quality: {amount} {'finer' if look.quality > 0 else 'coarser'}"


#: By the name that commands have for them.
PARTS: dict[str, Part] = {
    "opacity": Part(
        "opacity",
        _ALL,
        lambda look, n: replace(look, opacity=_between(look.opacity + 0.1 * n, 0.0, 1.0)),
        lambda look: f"opacity {look.opacity:.2f}",
    ),
    "gamma": Part(
        "gamma",
        _IMAGES,
        lambda look, n: replace(look, gamma=_between(look.gamma + 0.1 * n, GAMMA_LEAST, GAMMA_MOST)),
        lambda look: f"gamma {look.gamma:.2f}",
    ),
    "blending": Part(
        "blending",
        _ALL,
        lambda look, n: replace(look, blending=next_of(BLENDINGS, look.blending, n)),  # type: ignore[arg-type]
        lambda look: f"blending: {look.blending}",
    ),
    "colormap": Part(
        "colour map",
        ("image",),
        lambda look, n: replace(look, colormap=next_of(FAVOURITES, look.colormap, n)),
        lambda look: f"colour map: {look.colormap}",
    ),
    "interpolation": Part(
        "interpolation",
        _IMAGES,
        lambda look, n: replace(look, interpolation=next_of(INTERPOLATIONS, look.interpolation, n)),  # type: ignore[arg-type]
        lambda look: f"voxels: {look.interpolation}",
    ),
    "quality": Part(
        "quality",
        _ALL,
        lambda look, n: replace(look, quality=_between(look.quality + 0.5 * n, -QUALITY_USUAL, QUALITY_USUAL)),
        _quality_text,
    ),
    "contour": Part(
        "contour",
        ("labels",),
        lambda look, n: replace(look, contour=min(max(look.contour + n, 0), CONTOUR_MOST)),
        lambda look: f"contour: {_count(look.contour, 'pixel')}" if look.contour else "labels filled",
    ),
    "alone": Part(
        "chosen label",
        ("labels",),
        lambda look, n: replace(look, show_selected_only=look.show_selected_only ^ bool(n % 2)),
        lambda look: "only the chosen label" if look.show_selected_only else "all labels",
    ),
    "seed": Part(
        "colours of labels",
        ("labels",),
        lambda look, n: replace(look, seed=look.seed + n),
        lambda look: f"colours of labels: set {look.seed}",
    ),
    "cut": Part("automatic contrast", ("image",), _cut_step, lambda look: f"contrast {cut_text(look.auto_quantiles)}"),
}
