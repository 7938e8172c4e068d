"""What each command of the window is in Python: the table of ``docs/scripting.md`` and its test. Pure (no I/O).

Knows the names of what is called, not the things: the tests carry every line out, in a window and without one. In them
``window`` is what `octree_client.show` returns, ``viewer`` is ``window.viewer`` or a `Viewer` without a window, and
``layer`` is ``viewer.layers.active``.
"""

from __future__ import annotations

from octree_client.keys import BINDINGS, GESTURES

#: A call for each action of `keys.BINDINGS`.
CALLS: dict[str, str] = {
    "open_file": 'viewer.open("image.npy")',
    "open_folder": 'viewer.open("image.zarr")',
    "open_address": "viewer.open_link(link)",
    "add_served": "viewer.add(octree_client.connect(address).dataset())",
    "paste": 'viewer.open("image.npy")',
    "save_screenshot": 'viewer.save("picture.png")',
    "export_region": 'viewer.export("region.zarr", level=1)',
    "copy_link": "link = viewer.link()",
    "copy_picture": "picture = viewer.render()",
    "close": "viewer.close()",
    "home": "viewer.home()",
    "one_to_one": "viewer.set_view(pixel_size=layer.voxel_size)",
    "zoom_rectangle": "viewer.zoom_to((10, 20, 60, 90))",
    "zoom_in": "viewer.camera = viewer.camera.zoomed(2)",
    "zoom_out": "viewer.camera = viewer.camera.zoomed(0.5)",
    "pan_left": "viewer.camera = viewer.camera.panned((100, 0))",
    "pan_right": "viewer.camera = viewer.camera.panned((-100, 0))",
    "pan_up": "viewer.camera = viewer.camera.panned((0, 100))",
    "pan_down": "viewer.camera = viewer.camera.panned((0, -100))",
    "previous_slice": 'viewer.dims.step_by("z", -1)',
    "next_slice": 'viewer.dims.step_by("z", 1)',
    "previous_place": 'viewer.dims.step_by("t", -1)',
    "next_place": 'viewer.dims.step_by("t", 1)',
    "play": 'viewer.play("z", fps=24)',
    "play_faster": 'viewer.play("z", fps=60)',
    "play_slower": 'viewer.play("z", fps=2)',
    "next_play_mode": 'viewer.play("z", mode="once")',
    "show_xy": 'viewer.dims.set_displayed("y", "x")',
    "show_xz": 'viewer.dims.set_displayed("z", "x")',
    "show_yz": 'viewer.dims.set_displayed("y", "z")',
    "swap_axes": "viewer.dims.swap()",
    "toggle_panel": 'window.turn("panel", False)',
    "toggle_system": 'window.turn("system", True)',
    "toggle_scale_bar": 'window.turn("scale_bar", False)',
    "toggle_minimap": 'window.turn("minimap", False)',
    "toggle_axes": 'window.turn("axes", False)',
    "toggle_overlay": "layer.overlay = True",
    "toggle_fade": "viewer.fade_ms = 150",
    "toggle_statistics": "viewer.statistics()",
    "toggle_theme": 'window.showing.choose_theme("light")',
    "toggle_full_screen": 'window.turn("full_screen", True)',
    "toggle_visible": "layer.visible = False",
    "layer_above": "viewer.layers.active = viewer.layers[1]",
    "layer_below": "viewer.layers.active = viewer.layers[0]",
    "raise_layer": "viewer.layers.move(0, 1)",
    "lower_layer": "viewer.layers.move(1, 0)",
    "rename_layer": 'layer.name = "nuclei"',
    "remove_layer": "viewer.layers.remove(layer)",
    "switch_labels": 'viewer.show_as(layer, "labels")',
    "merge_channels": "viewer.merge_channels(viewer.layers[:2])",
    "split_channels": "viewer.split_channels(layer)",
    "finer_level": "layer.level_lock = 0",
    "coarser_level": "layer.level_lock = 1",
    "toggle_level_lock": "layer.level_lock = layer.level",
    "more_quality": "layer.quality = 0.5",
    "less_quality": "layer.quality = -0.5",
    "retry": "viewer.retry()",
    "auto_contrast": "layer.auto_contrast = True",
    "more_cut": "layer.auto_quantiles = (0.01, 0.99)",
    "less_cut": "layer.auto_quantiles = (0, 1)",
    "full_range": "layer.contrast_limits = layer.full_range()",
    "raise_low": "layer.contrast_limits = (500, layer.contrast_limits[1])",
    "lower_low": "layer.contrast_limits = (100, layer.contrast_limits[1])",
    "raise_high": "layer.contrast_limits = (layer.contrast_limits[0], 9000)",
    "lower_high": "layer.contrast_limits = (layer.contrast_limits[0], 3000)",
    "more_gamma": "layer.gamma = 1.5",
    "less_gamma": "layer.gamma = 0.7",
    "next_colormap": 'layer.colormap = "viridis"',
    "previous_colormap": 'layer.colormap = "turbo"',
    "less_opacity": "layer.opacity = 0.5",
    "more_opacity": "layer.opacity = 0.9",
    "next_blending": 'layer.blending = "minimum"',
    "previous_blending": 'layer.blending = "opaque"',
    "toggle_interpolation": 'layer.interpolation = "nearest"',
    "toggle_alone": "layer.show_selected_only = True",
    "more_contour": "layer.contour = 2",
    "less_contour": "layer.contour = 1",
    "other_colours": "layer.seed = 3",
    "toggle_keys": 'window.turn("keys", True)',
    "dismiss": "viewer.stop_playing()",
}

#: A call for each gesture of `keys.GESTURES`.
GESTURE_CALLS: dict[str, str] = {
    "Drag": "viewer.camera = viewer.camera.panned((120, -40))",
    "Wheel": "viewer.camera = viewer.camera.zoomed(1.25, (300, 200))",
    "Ctrl + drag": "viewer.zoom_to((10, 20, 60, 90))",
    "Shift + wheel": 'viewer.dims.step_by("z", 1)',
    "Alt + click": "layer.selected_label = layer.value_at(40, 50)",
    "Double click": "viewer.camera = viewer.camera.zoomed(2, (300, 200))",
    "Shift + double click": "viewer.camera = viewer.camera.zoomed(0.5, (300, 200))",
}

#: What is set with the mouse in the side panel, below the picture, and in dialogs: (what, call).
CONTROL_CALLS: tuple[tuple[str, str], ...] = (
    ("Name of a layer", 'layer.name = "nuclei"'),
    ("Opacity", "layer.opacity = 0.5"),
    ("Blending", 'layer.blending = "additive"'),
    ("Contrast limits", "layer.contrast_limits = (100, 4000)"),
    ("What automatic contrast cuts", "layer.auto_quantiles = (0.02, 0.995)"),
    ("Histogram", "counts, edges = layer.histogram()"),
    ("Gamma", "layer.gamma = 0.7"),
    ("Colour map", 'layer.colormap = "magma"'),
    ("Level by hand", "layer.level_lock = 1"),
    ("Quality", "layer.quality = 1"),
    ("Label that is chosen", "layer.selected_label = 7"),
    ("It alone", "layer.show_selected_only = True"),
    ("Outlines", "layer.contour = 2"),
    ("Other colours of labels", "layer.seed = 3"),
    ("A slider below the picture", 'viewer.dims.set_index("z", 3)'),
    ("The same, in the world's units", 'viewer.dims.set_point("z", 2.5)'),
    ("Which part of it is loaded", 'viewer.loaded("z")'),
    ("How an axis is played", 'viewer.play("z", fps=12, mode="back-and-forth")'),
    ("A drag in the map", "viewer.set_view(center=(60, 80))"),
    ("The value under the mouse", "layer.value_at(40, 50)"),
    ("What is loading, failed", "layer.loading, layer.status(), layer.failures"),
    ("A larger picture", 'viewer.save("larger.png", factor=2)'),
    ("A picture of the window", 'window.save("window.png")'),
    ("What the system does", "viewer.statistics(), viewer.sessions[0].status()"),
    ("Video memory", "viewer.vram_bytes = 128 << 20"),
)


def markdown_table() -> str:
    """Everything that the window can do, its keys, and the call, as the table of the documentation."""
    rows: list[tuple[str, str, str]] = []
    for group in BINDINGS.values():
        rows += [(b.text.rstrip("…"), b.shown if b.keys else "", CALLS[b.action]) for b in group if b is not None]
    rows += [(effect[:1].upper() + effect[1:], gesture, GESTURE_CALLS[gesture]) for gesture, effect in GESTURES]
    rows += [(what, "", call) for what, call in CONTROL_CALLS]
    lines = ["| what | key or mouse | Python |", "| --- | --- | --- |"]
    lines += [f"| {what} | {_key(key)} | `{call}` |" for what, key, call in rows]
    return "\n".join(lines)


def _key(shown: str) -> str:
    """A key in a cell of a table: neither a border of it nor markup."""
    return shown.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
