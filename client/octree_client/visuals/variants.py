"""Which programs a layer needs, and which it may need next. Pure (no I/O).

GL compiles a program when it is linked, and, for what blends or fades, once more when it is first drawn with: tens of
milliseconds each where the processor draws. So what one change of a look would need is made ready while nothing else
is to be done. Knows nothing of GL objects, nor of when that is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from octree_client.looks import BLENDINGS, Blending
from octree_client.visuals.blending import BlendState, blend_state, mixes_white

#: What is drawn of settled pieces, of those that fade in, and where there is nothing to draw from.
Part = Literal["settled", "fading", "bare"]


class Variant(NamedTuple):
    """One program: its part, and the switches of its shader."""

    part: Part
    linear: bool = False
    gamma: bool = False
    overlay: bool = False
    contour: bool = False
    white: bool = False


class Drawn(NamedTuple):
    """What GL has to have seen once, so that it need not compile when it sees it again."""

    variant: Variant
    blend: BlendState


class Switches(NamedTuple):
    """All of a look that picks a program or a blend state."""

    linear: bool = False
    gamma: bool = False
    overlay: bool = False
    contour: bool = False
    blending: Blending = "translucent"
    lowest: bool = False
    fades: bool = False

    def variant(self, part: Part) -> Variant:
        """The program of a part; bare pieces know of outlines alone, and nothing fades below them."""
        white = mixes_white(self.blending)
        if part == "bare":
            return Variant(part, overlay=self.overlay, white=white)
        return Variant(part, self.linear, self.gamma, self.overlay and part == "settled", self.contour, white)

    def drawn(self, part: Part) -> Drawn:
        """What a part is drawn with."""
        return Drawn(self.variant(part), blend_state(self.blending, self.lowest))


def likely(now: Switches, labels: bool) -> list[Drawn]:
    """What a layer may be drawn with next, the likeliest first: as it is now, and after one change of its look.

    Parameters
    ----------
    now
        As it is.
    labels
        Whether it shows labels: they are neither interpolated nor bent, and nothing else has contours.
    """
    changes = [now._replace(overlay=not now.overlay)]
    if labels:
        changes.append(now._replace(contour=not now.contour))
    else:
        changes += [now._replace(linear=not now.linear), now._replace(gamma=not now.gamma)]
    changes += [now._replace(blending=blending) for blending in BLENDINGS]  # type: ignore[arg-type]
    changes.append(now._replace(lowest=not now.lowest))
    parts: tuple[Part, ...] = ("settled", "fading", "bare") if now.fades and not now.overlay else ("settled", "bare")
    found = [now.drawn(part) for part in parts]
    found += [after.drawn("settled") for after in changes]
    found += [after.drawn(part) for part in parts[1:] for after in changes if not (part == "fading" and after.overlay)]
    return list(dict.fromkeys(found))
