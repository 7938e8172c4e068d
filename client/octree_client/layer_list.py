"""The layers of a viewer, from the bottom to the top. Pure (no I/O).

Knows nothing of drawing: the viewer listens to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, overload

from psygnal import Signal, SignalGroup

if TYPE_CHECKING:
    from octree_client.layer import ImageLayer


class LayerListEvents(SignalGroup):
    """What happened to the list.

    ``inserted`` has the index and the layer, ``removed`` the index it had and the layer, ``moved`` both indices,
    ``active`` the layer or None; ``changed`` has a layer, the name of its property and the value.
    """

    inserted = Signal(int, object)
    removed = Signal(int, object)
    moved = Signal(int, int)
    changed = Signal(object, str, object)
    active = Signal(object)


class LayerList(Sequence["ImageLayer"]):
    """A sequence of layers, bottom to top; ``[i]`` and ``["name"]``. `Viewer.add` puts layers into it.

    Attributes
    ----------
    events
        `LayerListEvents`.
    """

    def __init__(self) -> None:
        self.events = LayerListEvents()
        self._layers: list[ImageLayer] = []
        self._active: ImageLayer | None = None

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[ImageLayer]:
        return iter(tuple(self._layers))

    def __contains__(self, layer: object) -> bool:
        return any(layer is mine or layer == mine.name for mine in self._layers)

    @overload
    def __getitem__(self, index: int | str) -> ImageLayer: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageLayer]: ...
    def __getitem__(self, index: int | str | slice) -> ImageLayer | list[ImageLayer]:
        if isinstance(index, str):
            for layer in self._layers:
                if layer.name == index:
                    return layer
            names = ", ".join(repr(layer.name) for layer in self._layers) or "none"
            raise KeyError(f"there is no layer {index!r}; there are {names}")
        return self._layers[index]

    def __repr__(self) -> str:
        return f"[{', '.join(repr(layer) for layer in self._layers)}]"

    def _ipython_key_completions_(self) -> list[str]:
        """What Tab offers within brackets."""
        return [layer.name for layer in self._layers]

    def index(self, layer: ImageLayer | str, start: int = 0, stop: int | None = None) -> int:
        """Where a layer is, from the bottom. Raises `ValueError` if it is not there."""
        for number, mine in enumerate(self._layers[start:stop], start):
            if mine is layer or mine.name == layer:
                return number
        raise ValueError(f"{layer!r} is none of the layers")

    @property
    def active(self) -> ImageLayer | None:
        """The layer that panels and keys are about; None if there is none."""
        return self._active

    @active.setter
    def active(self, layer: ImageLayer | None) -> None:
        if layer is not None:
            self.index(layer)
        if layer is not self._active:
            self._active = layer
            self.events.active.emit(layer)

    def insert(self, index: int, layer: ImageLayer) -> None:
        """Put a layer at a place, and make it the active one; a name that is taken gets a number."""
        layer.choose_name = partial(self._free_name, layer)
        layer.name = layer.name
        index = min(max(index if index >= 0 else len(self._layers) + index, 0), len(self._layers))
        self._layers.insert(index, layer)
        layer.events.connect(lambda name, value, layer=layer: self.events.changed.emit(layer, name, value))
        self.events.inserted.emit(index, layer)
        self.active = layer

    def append(self, layer: ImageLayer) -> None:
        """Put a layer on top."""
        self.insert(len(self._layers), layer)

    def remove(self, layer: ImageLayer | str) -> None:
        """Take a layer away; the viewer frees what it holds. Raises `ValueError` if it is not there."""
        number = self.index(layer)
        gone = self._layers.pop(number)
        gone.events.disconnect()
        gone.choose_name = str
        if self._active is gone:
            self.active = self._layers[min(number, len(self._layers) - 1)] if self._layers else None
        self.events.removed.emit(number, gone)

    def clear(self) -> None:
        """Take all layers away."""
        for layer in reversed(tuple(self._layers)):
            self.remove(layer)

    def move(self, source: int, target: int) -> None:
        """Put the layer at `source` where it has index `target` then."""
        layer = self._layers.pop(source)
        source = source if source >= 0 else len(self._layers) + 1 + source
        target = min(max(target if target >= 0 else len(self._layers) + 1 + target, 0), len(self._layers))
        self._layers.insert(target, layer)
        if source != target:
            self.events.moved.emit(source, target)

    def _free_name(self, layer: ImageLayer, name: str) -> str:
        taken = {mine.name for mine in self._layers if mine is not layer}
        if name not in taken:
            return name
        number = 2
        while f"{name} [{number}]" in taken:
            number += 1
        return f"{name} [{number}]"
