"""The shaders of the tiled image, as text. Pure (no I/O).

GLSL 1.20, because that is what every OpenGL that vispy knows has. What a layer is set to (interpolation, gamma,
overlay) picks one of a few programs instead of branching in one of them: rasterisers on the CPU run both sides of a
branch. Knows nothing of pieces or levels; the vertices are described in `quads`.
"""

from __future__ import annotations

from octree_client.colormaps import LABEL_COLOURS
from octree_client.texture import TextureKind

VERTEX_SHADER = """
attribute vec4 a_corner;
attribute vec4 a_tile;
attribute vec4 a_sides;
attribute vec4 a_corners;
attribute vec4 a_state;
varying vec2 v_voxel;
varying vec4 v_tile;
varying vec4 v_sides;
varying vec4 v_corners;
varying vec4 v_state;

void main() {
    gl_Position = vec4(a_corner.xy, 0.0, 1.0);
    v_voxel = a_corner.zw;
    v_tile = a_tile;
    v_sides = a_sides;
    v_corners = a_corners;
    v_state = a_state;
}
"""

_FRAGMENT_SHADER = """
varying vec2 v_voxel;
varying vec4 v_tile;
varying vec4 v_sides;
varying vec4 v_corners;
varying vec4 v_state;

uniform sampler2D u_atlas;
uniform sampler2D u_colormap;
uniform vec2 u_texel;      // 1 / shape of the atlas
uniform vec4 u_grid;       // columns of the atlas, 1 / columns, shape of a tile
uniform vec2 u_contrast;   // lower limit, 1 / (upper - lower), in texel units
uniform float u_gamma;
uniform float u_entries;   // of the colour map

// Two ways, because each of them is optimised away by some driver (Mesa the second, NVIDIA the first).
#define IS_NAN(v) ((v) != (v) || !((v) < 0.0 || (v) > 0.0 || (v) == 0.0))

#if COLOUR || LABELS
#define VALUE vec4
#define FETCH(at) texture2D(u_atlas, ((at) + 0.5) * u_texel)
#else
#define VALUE float
#define FETCH(at) texture2D(u_atlas, ((at) + 0.5) * u_texel).r
#endif

#if LABELS
uniform vec4 u_selected;    // bytes of a label
uniform float u_selection;  // 0: all labels, 1: the selected one alone
uniform float u_contour;    // pixels
#endif

#if LINEAR || CONTOUR
// Texel of a tile's corner.
vec2 corner_of(float tile) {
    float row = floor((tile + 0.5) * u_grid.y);
    return vec2(tile - row * u_grid.x, row) * u_grid.zw;
}
#endif

VALUE sample_image(vec2 shape, vec2 corner) {
    vec2 at = clamp(v_voxel, vec2(0.0), shape);
    vec2 last = shape - 1.0;
#if LINEAR
    vec2 low = floor(at - 0.5);
    vec2 weight = at - 0.5 - low;
    bool left = low.x < -0.5, right = low.x > last.x - 0.5;
    bool above = low.y < -0.5, below = low.y > last.y - 0.5;
    // Per axis at most one of the two taps lies outside the own chunk: beside it, in one of eight neighbours. Where
    // that is not resident, or lies beyond the image's end, the nearest voxel that there is stands in.
    float side = left ? v_sides.y : v_sides.z;
    float next = above ? v_sides.x : v_sides.w;
    vec2 pair = above ? v_corners.xy : v_corners.zw;
    float diagonal = left ? pair.x : pair.y;
    vec2 inside = vec2(left ? 0.0 : last.x, above ? 0.0 : last.y);
    vec2 there = vec2(left ? v_state.x - 1.0 : 0.0, above ? v_state.y - 1.0 : 0.0);
    vec2 beside = side < -0.5 ? vec2(corner.x + inside.x, corner.y) : corner_of(side) + vec2(there.x, 0.0);
    vec2 along = next < -0.5 ? vec2(corner.x, corner.y + inside.y) : corner_of(next) + vec2(0.0, there.y);
    vec2 across = diagonal > -0.5 ? corner_of(diagonal) + there
                : side < -0.5 ? along + vec2(inside.x, 0.0)
                : next < -0.5 ? beside + vec2(0.0, inside.y)
                : corner + inside;
    vec2 high = low + 1.0;
    vec2 p00 = above ? (left ? across : along + vec2(low.x, 0.0)) : (left ? beside + vec2(0.0, low.y) : corner + low);
    vec2 p10 = above ? (right ? across : along + vec2(high.x, 0.0))
                     : (right ? beside + vec2(0.0, low.y) : corner + vec2(high.x, low.y));
    vec2 p01 = below ? (left ? across : along + vec2(low.x, 0.0))
                     : (left ? beside + vec2(0.0, high.y) : corner + vec2(low.x, high.y));
    vec2 p11 = below ? (right ? across : along + vec2(high.x, 0.0))
                     : (right ? beside + vec2(0.0, high.y) : corner + high);
    VALUE v00 = FETCH(p00);
    VALUE v10 = FETCH(p10);
    VALUE v01 = FETCH(p01);
    VALUE v11 = FETCH(p11);
#if FLOATS
    // A pixel is NaN where its nearest voxel is; elsewhere a NaN neighbour counts as the nearest voxel.
    float nearest = weight.y < 0.5 ? (weight.x < 0.5 ? v00 : v10) : (weight.x < 0.5 ? v01 : v11);
    if (IS_NAN(nearest)) return nearest;
    v00 = clamp(IS_NAN(v00) ? nearest : v00, -1.0e37, 1.0e37);
    v10 = clamp(IS_NAN(v10) ? nearest : v10, -1.0e37, 1.0e37);
    v01 = clamp(IS_NAN(v01) ? nearest : v01, -1.0e37, 1.0e37);
    v11 = clamp(IS_NAN(v11) ? nearest : v11, -1.0e37, 1.0e37);
#endif
    return mix(mix(v00, v10, weight.x), mix(v01, v11, weight.x), weight.y);
#else
    return FETCH(corner + min(floor(at), last));
#endif
}

#if CONTOUR
// The label at a place of the picture that need not lie in the own chunk; there, the nearest that is known.
vec4 label_at(vec2 place, vec2 shape, vec2 corner) {
    bool left = place.x < 0.0, right = place.x >= shape.x;
    bool above = place.y < 0.0, below = place.y >= shape.y;
    float side = left ? v_sides.y : right ? v_sides.z : -1.0;
    float next = above ? v_sides.x : below ? v_sides.w : -1.0;
    vec2 pair = above ? v_corners.xy : v_corners.zw;
    float there = (left || right) ? ((above || below) ? (left ? pair.x : pair.y) : side) : next;
    bool beyond = left || right || above || below;
    if (!beyond || there < -0.5) return FETCH(corner + min(floor(clamp(place, vec2(0.0), shape)), shape - 1.0));
    vec2 moved = vec2(left ? place.x + v_state.x : right ? place.x - shape.x : place.x,
                      above ? place.y + v_state.y : below ? place.y - shape.y : place.y);
    return FETCH(corner_of(there) + floor(clamp(moved, vec2(0.0), v_state.xy - 1.0)));
}

bool is_border(vec4 label, vec2 shape, vec2 corner) {
    vec2 pixel = fwidth(v_voxel) * u_contour;
    for (int n = 0; n < 9; n++) {
        vec2 step = vec2(mod(float(n), 3.0), floor(float(n) / 3.0)) - 1.0;
        vec4 other = label_at(v_voxel + step * pixel, shape, corner);
        if (any(greaterThan(abs(other - label), vec4(0.001)))) return true;
    }
    return false;
}
#endif

void main() {
    // What is constant over a piece is whole numbers: rounding takes away what interpolation added.
    vec4 tile = floor(v_tile + 0.5);
    VALUE value = sample_image(tile.zw, tile.xy);
    vec4 colour;
#if LABELS
    vec4 bytes = floor(value * 255.0 + 0.5);
    // The number modulo that of the colours: all sums stay below 2**24, where float32 is exact.
    float number = dot(bytes, WEIGHTS);
    float entry = number - u_entries * floor((number + 0.5) / u_entries);
    colour = texture2D(u_colormap, vec2((entry + 0.5) / u_entries, 0.5));
    if (dot(bytes, vec4(1.0)) < 0.5) colour = vec4(0.0);
    if (u_selection > 0.5 && any(greaterThan(abs(bytes - u_selected), vec4(0.5)))) colour = vec4(0.0);
#if CONTOUR
    if (colour.a > 0.0 && !is_border(value, tile.zw, tile.xy)) colour = vec4(0.0);
#endif
#elif COLOUR
    vec3 shown = clamp((value.rgb - u_contrast.x) * u_contrast.y, 0.0, 1.0);
#if GAMMA
    shown = pow(shown, vec3(u_gamma));
#endif
    colour = vec4(shown, value.a);
#else
    float shown = clamp((value - u_contrast.x) * u_contrast.y, 0.0, 1.0);
#if GAMMA
    shown = pow(shown, u_gamma);
#endif
    float entry = floor(shown * (u_entries - 1.0) + 0.5);
    colour = texture2D(u_colormap, vec2((entry + 0.5) / u_entries, 0.5));
#if FLOATS
    if (IS_NAN(value)) colour = vec4(0.0);
#endif
#endif
#if OVERLAY
    float status = floor(v_state.w + 0.5);
    float difference = v_state.z;
    float depth = min(abs(difference), 4.0);
    vec4 tint = difference > 0.5 ? vec4(1.0, 0.66 - 0.07 * depth, 0.0, 0.22 + 0.06 * depth)
              : difference < -0.5 ? vec4(0.1, 0.5, 1.0, 0.25)
              : vec4(0.2, 0.8, 0.3, 0.08);
    if (status == MISSING) tint = vec4(0.6, 0.4, 0.9, 0.35);
    if (status == FAILED) tint = vec4(1.0, 0.1, 0.1, 0.45);
    colour = vec4(mix(colour.rgb, tint.rgb, tint.a), colour.a);
#endif
#if OVERLAY
    // One pixel along the chunk's upper and left edge: the neighbour's draws the others.
    vec2 edge = v_voxel / max(fwidth(v_voxel), vec2(1.0e-9));
    if (min(edge.x, edge.y) < 1.0) colour = mix(colour, vec4(1.0, 1.0, 1.0, 1.0), 0.55);
#endif
#if FADE
    colour.a *= v_state.z;
#endif
    gl_FragColor = put_out(colour);
}
"""

# What is drawn where there is nothing to draw from: a shader of its own, because rasterisers on the CPU would work it
# out for every pixel of the picture.
_BARE_SHADER = """
varying vec2 v_voxel;
varying vec4 v_tile;
varying vec4 v_state;

void main() {
    float up = mod(gl_FragCoord.x + gl_FragCoord.y, 12.0);
    vec4 colour = up < 1.5 ? vec4(0.165, 0.165, 0.17, 1.0) : vec4(0.11, 0.11, 0.115, 1.0);
    if (abs(v_state.w - NO_DATA - FAILED) < 0.5) {
        float down = mod(gl_FragCoord.x - gl_FragCoord.y, 12.0);
        vec2 within = v_voxel / floor(v_tile.zw + 0.5);
        float cross = min(abs(within.x - within.y), abs(within.x + within.y - 1.0));
        colour = vec4(0.22, 0.06, 0.06, 1.0);
        if (up < 1.0 || down < 1.0) colour = vec4(0.42, 0.11, 0.10, 1.0);
        if (cross < 0.02) colour = vec4(0.80, 0.20, 0.16, 1.0);
    }
#if OVERLAY
    vec2 edge = v_voxel / max(fwidth(v_voxel), vec2(1.0e-9));
    if (min(edge.x, edge.y) < 1.0) colour = mix(colour, vec4(1.0, 1.0, 1.0, 1.0), 0.55);
#endif
    gl_FragColor = put_out(colour);
}
"""

# How the colour leaves the shader: see `blending.MODES`. MODE is known when it is made, for the same reason.
_PUT_OUT = """
uniform float u_opacity;

vec4 put_out(vec4 colour) {
#if MODE == 2
    return vec4(colour.rgb, step(1.0e-6, colour.a));
#elif MODE == 1
    return vec4(mix(vec3(1.0), colour.rgb, colour.a * u_opacity), 1.0);
#else
    return vec4(colour.rgb, colour.a * u_opacity);
#endif
}
"""


def fragment_shader(
    kind: TextureKind,
    *,
    linear: bool,
    gamma: bool,
    overlay: bool,
    contour: bool,
    fade: bool,
    mode: int,
    statuses: dict[str, int],
) -> str:
    """The fragment shader of a kind of texture with the given switches.

    Parameters
    ----------
    mode
        Of `blending.MODES`.
    statuses
        Numbers of MISSING, FAILED and NO_DATA as they stand in the vertices.
    """
    weights = ", ".join(f"{pow(256, byte, LABEL_COLOURS)}.0" for byte in range(4))
    switches = {
        "COLOUR": kind.is_colour,
        "FLOATS": kind.is_float,
        "LABELS": kind.labels,
        "CONTOUR": contour,
        "FADE": fade,
        "LINEAR": linear,
        "GAMMA": gamma,
        "OVERLAY": overlay,
        "MODE": mode,
    }
    return _defined(switches, statuses) + f"#define WEIGHTS vec4({weights})\n" + _PUT_OUT + _FRAGMENT_SHADER


def bare_shader(*, overlay: bool, mode: int, statuses: dict[str, int]) -> str:
    """The fragment shader of pieces of which there is nothing to draw; parameters as of `fragment_shader`."""
    return _defined({"OVERLAY": overlay, "MODE": mode}, statuses) + _PUT_OUT + _BARE_SHADER


def _defined(switches: dict[str, int], statuses: dict[str, int]) -> str:
    lines = [f"#define {name} {int(value)}" for name, value in switches.items()]
    lines += [f"#define {name} {value}.0" for name, value in statuses.items()]
    return "\n".join(lines) + "\n"
