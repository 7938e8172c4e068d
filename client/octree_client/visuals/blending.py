"""How a layer is mixed with what is below it: GL's blend state, and what the shader has to do for it. Pure (no I/O).

The canvas is opaque from the start and stays so, whatever is drawn. Knows nothing of layers or GL objects.
"""

from __future__ import annotations

from typing import NamedTuple

from octree_client.looks import Blending


class BlendState(NamedTuple):
    """GL's blend state.

    Attributes
    ----------
    factors
        Of source and destination for the colour, then for alpha, as `gloo` spells them.
    equation
        ``func_add`` or ``min``.
    mode
        What the shader does with the opacity: see `MODES`.
    """

    factors: tuple[str, str, str, str]
    equation: str
    mode: int


#: What the shader puts out: the colour with its alpha; white mixed with the colour, which is what leaves the darker one
#: alone; the colour wherever there is one.
MODES = {"alpha": 0, "white": 1, "cover": 2}

_MIX = ("src_alpha", "one_minus_src_alpha", "one", "one_minus_src_alpha")
_ADD = ("src_alpha", "one", "zero", "one")
_ALONE = ("src_alpha", "zero", "zero", "one")
_REPLACE = ("one", "zero", "zero", "one")


def blend_state(blending: Blending, lowest: bool) -> BlendState:
    """How a layer with that blending is drawn.

    Parameters
    ----------
    lowest
        Nothing but the background lies below it: light is then added to black and the darker colour taken of white,
        because the background is no data.
    """
    if blending == "additive":
        return BlendState(_ALONE if lowest else _ADD, "func_add", MODES["alpha"])
    if blending == "minimum":
        return BlendState(_REPLACE, "func_add" if lowest else "min", MODES["white"])
    return BlendState(_MIX, "func_add", MODES["cover" if blending == "opaque" else "alpha"])
