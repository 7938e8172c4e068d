"""Which layers an image becomes, and how they look at first. Pure (no I/O).

Channels of one image become layers of their own, in the colours and windows that the file has. Knows nothing of
viewers, GL or where data lies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from octree_client.colormaps import CHANNEL_COLOURS
from octree_client.looks import Blending, LayerKind, Look
from octree_client.placing import channel_axis
from octree_protocol.geometry import Channel, Dataset

#: How an image's channels are shown; see `Viewer.add`.
ChannelChoice = Literal["auto", "split", "merged"] | int

#: More channels than this are not split unless one asks for it: nobody tells so many colours apart.
SPLIT_MOST = 8


class LayerPlan(NamedTuple):
    """A layer that is to be made."""

    name: str
    kind: LayerKind
    channel: int | None
    look: Look


def layer_kind(dataset: Dataset) -> LayerKind:
    """What a dataset is shown as."""
    if dataset.rgb:
        return "rgb"
    return "labels" if dataset.kind in ("labels", "mask") else "image"


def planned_layers(
    dataset: Dataset,
    channel: ChannelChoice = "auto",
    name: str | None = None,
    kind: LayerKind | None = None,
    colormap: str | None = None,
    contrast_limits: tuple[float, float] | None = None,
    blending: Blending | None = None,
) -> list[LayerPlan]:
    """The layers of a dataset, from the bottom to the top; parameters as of `Viewer.add`.

    Raises
    ------
    ValueError
        If there is no such channel, or the dataset cannot be shown as `kind`.
    """
    found = layer_kind(dataset)
    if kind is not None and kind != found and "rgb" in (kind, found):
        raise ValueError(f"{dataset.name} is {'' if dataset.rgb else 'not '}made of colours: it cannot be {kind!r}")
    kind = kind if kind is not None else found
    if kind == "labels" and dataset.dtype.lstrip("<>|=")[0] not in "uib":
        raise ValueError(f"{dataset.name} has values of type {dataset.dtype}: labels are whole numbers")
    title = name if name is not None else dataset.name
    axis = channel_axis(dataset)
    count = dataset.levels[0].shape[axis] if axis is not None else 0
    chosen: list[int]
    if axis is None or channel == "merged":
        chosen = []
    elif isinstance(channel, int):
        if not 0 <= channel < count:
            raise ValueError(f"{dataset.name} has the channels 0 to {count - 1}, not {channel}")
        chosen = [channel]
    elif channel in ("split", "auto"):
        chosen = list(range(count)) if channel == "split" or count <= SPLIT_MOST else []
    else:
        raise ValueError(f"channel is 'auto', 'split', 'merged' or a number, not {channel!r}")
    if not chosen:
        look = _look(kind, None, colormap, contrast_limits, blending, "gray", "translucent")
        return [LayerPlan(title, kind, None, look)]
    plans = []
    for number in chosen:
        told = dataset.channels[number] if number < len(dataset.channels) else Channel()
        alone = count == 1
        usual = "gray" if alone else CHANNEL_COLOURS[number % len(CHANNEL_COLOURS)]
        mixing: Blending = "translucent" if alone or kind != "image" else "additive"
        look = _look(kind, told, colormap, contrast_limits, blending, usual, mixing)
        label = told.name or f"channel {number}"
        plans.append(LayerPlan(title if alone else f"{title} · {label}", kind, number, look))
    return plans


def shown_as(dataset: Dataset, plan: LayerPlan, kind: LayerKind) -> LayerPlan:
    """A layer of a dataset as another kind, in the same look.

    Raises
    ------
    ValueError
        If the dataset cannot be shown as `kind`.
    """
    planned_layers(dataset, plan.channel if plan.channel is not None else "merged", kind=kind)
    # Labels are never interpolated; an image that was one before is seen as images are.
    return plan._replace(kind=kind, look=replace(plan.look, interpolation="nearest" if kind == "labels" else "linear"))


def _look(
    kind: LayerKind,
    told: Channel | None,
    colormap: str | None,
    limits: tuple[float, float] | None,
    blending: Blending | None,
    usual: str,
    mixing: Blending,
) -> Look:
    window = limits
    if window is None and told is not None and told.window is not None and told.window[0] < told.window[1]:
        window = told.window
    if colormap is None:
        colormap = usual
        if told is not None and told.color:
            colormap = "gray" if told.color.lower() == "#ffffff" else told.color
    return Look(
        blending=blending if blending is not None else mixing,
        contrast_limits=(float(window[0]), float(window[1])) if window is not None else (0.0, 1.0),
        auto_contrast=window is None,
        colormap=colormap,
        interpolation="nearest" if kind == "labels" else "linear",
    )
