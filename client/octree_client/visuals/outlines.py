"""The part of the shader that finds the outlines of labels, as text. Pure (no I/O).

It goes by true distances instead of a few samples around, so that no thin or lone label is missed: a pixel belongs to
the outline of its label where another one lies nearer than the contour is thick. Knows nothing of colours.
"""

from __future__ import annotations

#: Boxes on each side of a fragment, at most, in which it looks for other labels: of contours up to so many logical
#: pixels, no label slips through that a pixel shows.
CONTOUR_STEPS = 4

#: ``is_border``; needs ``Place``, ``FETCH`` and ``corner_of`` of `shaders`.
OUTLINE = """
#if CONTOUR
// The label of a voxel of the picture that need not lie in the own chunk; where none is known, the nearest that is.
vec4 label_at(vec2 place, Place p) {
    vec2 shape = p.tile.zw;
    vec2 at = min(place, p.end - 0.5);  // beyond that the image ends
    bool left = at.x < 0.0, right = at.x >= shape.x;
    bool above = at.y < 0.0, below = at.y >= shape.y;
    float side = left ? p.sides.y : p.sides.z;
    float next = above ? p.sides.x : p.sides.w;
    vec2 pair = above ? p.corners.xy : p.corners.zw;
    float diagonal = left ? pair.x : pair.y;
    bool beside = left || right, along = above || below;
    float there = beside ? (along ? diagonal : side) : next;
    bool known = (beside || along) && there > -0.5;
    vec2 moved = vec2(left ? at.x + p.state.x : right ? at.x - shape.x : at.x,
                      above ? at.y + p.state.y : below ? at.y - shape.y : at.y);
    vec2 corner = known ? corner_of(there) : p.tile.xy;
    return FETCH(corner + floor(known ? max(moved, 0.0) : clamp(at, vec2(0.0), shape - 0.5)));
}

// Whether another label lies nearer than the contour is thick, by Euclid's distance from the pixel's middle. What is
// looked at are boxes: voxels, where they are larger than pixels, and else what the pixels show; of contours so thick
// that these are too many, larger ones, which narrower labels may slip through.
bool is_border(vec4 label, Place p) {
    vec2 pixel = max(fwidth(p.voxel), vec2(1.0e-9)) * u_pixel;
    vec2 reach = pixel * u_contour;
    vec2 box = max(vec2(1.0), max(pixel, reach / CONTOUR_STEPS));
    vec2 first = vec2(box.x > 1.0 ? p.voxel.x - 0.5 * box.x : floor(p.voxel.x),
                      box.y > 1.0 ? p.voxel.y - 0.5 * box.y : floor(p.voxel.y));
    float most = min(ceil(reach.y / box.y), CONTOUR_STEPS);
    for (float row = -most; row < most + 0.5; row += 1.0) {
        float low = first.y + row * box.y;
        float down = max(max(low - p.voxel.y, p.voxel.y - low - box.y), 0.0) / pixel.y;
        float wide = sqrt(max(u_contour * u_contour - down * down, 0.0)) * pixel.x;
        float last = min(ceil(wide / box.x), CONTOUR_STEPS);
        for (float column = -last; column < last + 0.5; column += 1.0) {
            float start = first.x + column * box.x;
            float across = max(max(start - p.voxel.x, p.voxel.x - start - box.x), 0.0) / pixel.x;
            vec4 other = label_at(vec2(start, low) + 0.5 * box, p);
            if (down * down + across * across < u_contour * u_contour
                && any(greaterThan(abs(other - label), vec4(0.001)))) return true;
        }
    }
    return false;
}
#endif
"""
