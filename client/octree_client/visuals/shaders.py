"""The shaders of the tiled image, as text. Pure (no I/O).

GLSL 1.20, because that is what every OpenGL that vispy knows has. What a layer is set to (interpolation, gamma,
overlay) picks one of a few programs instead of branching in one of them: rasterisers on the CPU run both sides of a
branch. Knows nothing of pieces or levels; the vertices are described in `quads`.
"""

from __future__ import annotations

from octree_client.colormaps import LABEL_COLOURS
from octree_client.texture import TextureKind
from octree_client.visuals.outlines import CONTOUR_STEPS, OUTLINE
from octree_client.visuals.variants import Variant

_VERTEX_SHADER = """
// Where the view is in the camera that the vertices were made for: scale, then offset.
uniform vec4 u_view;
invariant gl_Position;

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
#if CONTOUR
varying vec4 v_end;
#endif

#if FADING
// The same of what stood there before; in b_corner, how far the piece has faded in comes first.
attribute vec4 b_corner;
attribute vec4 b_tile;
attribute vec4 b_sides;
attribute vec4 b_corners;
attribute vec4 b_state;
varying vec3 v_before_voxel;
varying vec4 v_before_tile;
varying vec4 v_before_sides;
varying vec4 v_before_corners;
varying vec4 v_before_state;
#endif

void main() {
    gl_Position = vec4(a_corner.xy * u_view.xy + u_view.zw, 0.0, 1.0);
    v_voxel = a_corner.zw;
    v_tile = vec4(a_tile.xy, min(a_tile.zw, a_state.xy));
    v_sides = a_sides;
    v_corners = a_corners;
    v_state = a_state;
#if FADING
    v_before_voxel = b_corner.zwx;
    v_before_tile = vec4(b_tile.xy, min(b_tile.zw, b_state.xy));
    v_before_sides = b_sides;
    v_before_corners = b_corners;
    v_before_state = b_state;
#endif
#if CONTOUR
    v_end.xy = a_tile.zw;
    v_end.zw = v_end.xy;
#if FADING
    v_end.zw = b_tile.zw;
#endif
#endif
}
"""

_FRAGMENT_SHADER = """
varying vec2 v_voxel;
varying vec4 v_tile;
varying vec4 v_sides;
varying vec4 v_corners;
varying vec4 v_state;
#if FADING
varying vec3 v_before_voxel;
varying vec4 v_before_tile;
varying vec4 v_before_sides;
varying vec4 v_before_corners;
varying vec4 v_before_state;
#endif
#if CONTOUR
varying vec4 v_end;
#define END(pair) , v_end.pair
#else
#define END(pair)
#endif

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
uniform float u_contour;    // logical pixels
#endif

#if LINEAR || CONTOUR
// Texel of a tile's corner.
vec2 corner_of(float tile) {
    float row = floor((tile + 0.5) * u_grid.y);
    return vec2(tile - row * u_grid.x, row) * u_grid.zw;
}
#endif

// What one fragment knows of the chunk that it is drawn from: the vertex' fields, see `quads.VERTEX`.
struct Place {
    vec2 voxel;
    vec4 tile;
    vec4 sides;
    vec4 corners;
    vec4 state;
#if CONTOUR
    vec2 end;  // of the image, or of the next chunk
#endif
};

VALUE sample_image(Place p) {
    vec2 corner = p.tile.xy, shape = p.tile.zw;
    vec2 at = clamp(p.voxel, vec2(0.0), shape);
    vec2 last = shape - 1.0;
#if LINEAR
    vec2 low = floor(at - 0.5);
    vec2 weight = at - 0.5 - low;
    bool left = low.x < -0.5, right = low.x > last.x - 0.5;
    bool above = low.y < -0.5, below = low.y > last.y - 0.5;
    // Per axis at most one of the two taps lies outside the own chunk: beside it, in one of eight neighbours. Where
    // that is not resident, or lies beyond the image's end, the nearest voxel that there is stands in.
    float side = left ? p.sides.y : p.sides.z;
    float next = above ? p.sides.x : p.sides.w;
    vec2 pair = above ? p.corners.xy : p.corners.zw;
    float diagonal = left ? pair.x : pair.y;
    vec2 inside = vec2(left ? 0.0 : last.x, above ? 0.0 : last.y);
    vec2 there = vec2(left ? p.state.x - 1.0 : 0.0, above ? p.state.y - 1.0 : 0.0);
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
"""

_SHADE = """
vec4 shade(Place p) {
    // What is constant over a piece is whole numbers: rounding takes away what interpolation added.
    p.tile = floor(p.tile + 0.5);
    VALUE value = sample_image(p);
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
    if (colour.a > 0.0 && !is_border(value, p)) colour = vec4(0.0);
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
    float status = floor(p.state.w + 0.5);
    float difference = p.state.z;
    float depth = min(abs(difference), 4.0);
    vec4 tint = difference > 0.5 ? vec4(1.0, 0.66 - 0.07 * depth, 0.0, 0.22 + 0.06 * depth)
              : difference < -0.5 ? vec4(0.1, 0.5, 1.0, 0.25)
              : vec4(0.2, 0.8, 0.3, 0.08);
    if (status == MISSING) tint = vec4(0.6, 0.4, 0.9, 0.35);
    if (status == FAILED) tint = vec4(1.0, 0.1, 0.1, 0.45);
    colour = vec4(mix(colour.rgb, tint.rgb, tint.a), colour.a);
    // A line along the chunk's upper and left edge: the neighbour's draws the others.
    vec2 edge = p.voxel / max(fwidth(p.voxel), vec2(1.0e-9));
    if (min(edge.x, edge.y) < u_pixel) colour = mix(colour, vec4(1.0, 1.0, 1.0, 1.0), 0.55);
#endif
    return colour;
}

void main() {
    vec4 colour = shade(Place(v_voxel, v_tile, v_sides, v_corners, v_state END(xy)));
#if FADING
    // What would be drawn without the new piece and what will be, mixed as light; only that is blended.
    float status = v_before_state.w;
    vec4 before = vec4(0.0);
    if (status < NO_DATA - 0.5) {
        before = shade(Place(v_before_voxel.xy, v_before_tile, v_before_sides, v_before_corners,
                             v_before_state END(zw)));
    } else if (status < NOTHING - 0.5) {
        before = hatch(v_before_voxel.xy / floor(v_before_tile.zw + 0.5), abs(status - NO_DATA - FAILED) < 0.5);
    }
    gl_FragColor = put_out_mixed(before, colour, v_before_voxel.z);
#else
    gl_FragColor = put_out(colour);
#endif
}
"""

# What is drawn where there is nothing to draw from: a shader of its own, because rasterisers on the CPU would work it
# out for every pixel of the picture.
_HATCH = """
vec4 hatch(vec2 within, bool failed) {
    vec2 at = gl_FragCoord.xy / u_pixel;
    float up = mod(at.x + at.y, 12.0);
    vec4 colour = up < 1.5 ? vec4(0.165, 0.165, 0.17, 1.0) : vec4(0.11, 0.11, 0.115, 1.0);
    if (failed) {
        float down = mod(at.x - at.y, 12.0);
        float cross = min(abs(within.x - within.y), abs(within.x + within.y - 1.0));
        colour = vec4(0.22, 0.06, 0.06, 1.0);
        if (up < 1.0 || down < 1.0) colour = vec4(0.42, 0.11, 0.10, 1.0);
        if (cross < 0.02) colour = vec4(0.80, 0.20, 0.16, 1.0);
    }
    return colour;
}
"""

_BARE_SHADER = """
varying vec2 v_voxel;
varying vec4 v_tile;
varying vec4 v_state;

void main() {
    vec4 colour = hatch(v_voxel / floor(v_tile.zw + 0.5), abs(v_state.w - NO_DATA - FAILED) < 0.5);
#if OVERLAY
    vec2 edge = v_voxel / max(fwidth(v_voxel), vec2(1.0e-9));
    if (min(edge.x, edge.y) < u_pixel) colour = mix(colour, vec4(1.0, 1.0, 1.0, 1.0), 0.55);
#endif
    gl_FragColor = put_out(colour);
}
"""

# How the colour leaves the shader: see `blending`.
_PUT_OUT = """
uniform float u_opacity;  // 1 or less; very large where any colour covers: what leaves above 1 is 1
uniform float u_pixel;    // physical pixels a logical one

vec4 put_out(vec4 colour) {
#if WHITE
    return vec4(mix(vec3(1.0), colour.rgb, colour.a * u_opacity), 1.0);
#else
    return vec4(colour.rgb, colour.a * u_opacity);
#endif
}

#if FADING
vec4 put_out_mixed(vec4 before, vec4 after, float share) {
    vec2 alphas = min(vec2(before.a, after.a) * u_opacity, 1.0) * vec2(1.0 - share, share);
    float alpha = alphas.x + alphas.y;
    vec3 light = before.rgb * alphas.x + after.rgb * alphas.y;
#if WHITE
    return vec4(light + (1.0 - alpha), 1.0);
#else
    return vec4(light / max(alpha, 1.0e-6), alpha);
#endif
}
#endif
"""


def vertex_shader(variant: Variant) -> str:
    """The vertex shader of a variant."""
    fading, contour = variant.part == "fading", variant.contour
    return f"#define FADING {int(fading)}\n#define CONTOUR {int(contour)}\n" + _VERTEX_SHADER


def fragment_shader(kind: TextureKind, variant: Variant, statuses: dict[str, int]) -> str:
    """The fragment shader of a variant for a kind of texture.

    Parameters
    ----------
    statuses
        Numbers of MISSING, FAILED, NO_DATA and NOTHING as they stand in the vertices.
    """
    fading = variant.part == "fading"
    switches = {
        "COLOUR": kind.is_colour,
        "FLOATS": kind.is_float,
        "LABELS": kind.labels,
        "CONTOUR": variant.contour,
        "FADING": fading,
        "LINEAR": variant.linear,
        "GAMMA": variant.gamma,
        "OVERLAY": variant.overlay,
        "WHITE": variant.white,
    }
    lines = [f"#define {name} {int(value)}" for name, value in switches.items()]
    lines += [f"#define {name} {value}.0" for name, value in statuses.items()]
    weights = ", ".join(f"{pow(256, byte, LABEL_COLOURS)}.0" for byte in range(4))
    lines.append(f"#define CONTOUR_STEPS {CONTOUR_STEPS}.0")
    lines.append(f"#define WEIGHTS vec4({weights})")
    parts = [_PUT_OUT]
    if fading or variant.part == "bare":
        parts.append(_HATCH)
    parts.append(_BARE_SHADER if variant.part == "bare" else _FRAGMENT_SHADER + OUTLINE + _SHADE)
    return "\n".join(lines) + "\n" + "".join(parts)
