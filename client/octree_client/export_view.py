"""What of a view an export takes: the layer, the planes it is at, the region. Imports neither Qt nor vispy.

Knows nothing of files: `export_plan` decides what is read, `export` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octree_client.export_plan import ExportPlan, plan_export

if TYPE_CHECKING:
    from octree_client.dims import Dims
    from octree_client.layer import ImageLayer


def plan_of_layer(
    layer: ImageLayer,
    dims: Dims,
    name: str,
    level: int,
    region: tuple[float, float, float, float] | None,
    *,
    whole_axes: bool = False,
) -> ExportPlan:
    """What is read for an export of a layer as a viewer shows it.

    Parameters
    ----------
    name
        Of the file; its ending is the format.
    region
        World (down 0, across 0, down 1, across 1) on the displayed axes; everything if None.
    whole_axes
        Whether the other axes are exported whole, instead of where the viewer is on them. A layer of one channel has
        that channel alone.

    Raises
    ------
    ExportRefused
        As `plan_export`.
    """
    names = [axis.name for axis in layer.dataset.axes]
    point = {} if whole_axes else {axis: world for axis, world in dims.point.items() if axis in names}
    finest = layer.dataset.levels[0]
    for axis, index in layer.fixed.items():
        point[names[axis]] = finest.voxel_to_world(axis, index + 0.5)
    return plan_export(layer.dataset, name, level, region, layer.pager.plane, point)
