"""Sources: what a dataset is read from. `open_source` picks the one that fits what lies at a location.

Importing this package imports neither zarr nor tensorstore nor dask: a worker that reads plain chunk files starts
without them. Knows nothing of slots, pools or clients.
"""

from __future__ import annotations

from octree_loader.sources.base import Source, SourceError, SourceSpec
from octree_loader.sources.locations import shown_location

__all__ = ["open_source"]


def open_source(spec: SourceSpec) -> Source:
    """Open a dataset: a file or folder in any format that is known, or what ``module:factory`` yields.

    What is known is listed in `local` and `bioio_file.READABLE`. One image of several is named after the place where
    they lie: ``plate.zarr/A/1/0``, ``slide.svs/2``, ``file.h5:/path/in/file``; without that it is the first, where one
    is, and an error that lists them, where none is.

    Options that every location takes: `axes` (one letter each, ``"tzyx"``, or a list of names), `scale` and
    `translation` (of level 0, one number an axis, in world units), `rgb` (the last axis holds 3 or 4 samples of a
    colour), `delay_ms` (simulate a slow store, see `delayed`), `levels`
    and `make_levels` (see `catalog`). The others are keyword arguments of the factory.

    Raises
    ------
    SourceError
        Whatever is wrong, in one sentence that names the place, the reason and the cure.
    """
    from octree_loader.sources.delayed import delay_source
    from octree_loader.sources.opening import open_location, own_options, without_catalog_options

    try:
        options, others = own_options(without_catalog_options(spec.options))
        return delay_source(open_location(spec.location, options, others), options.delay_ms)
    except SourceError as error:
        raise SourceError(f"dataset {spec.name!r}: {error}", transient=error.transient) from error.__cause__
    except Exception as error:
        # A factory or a file of a stranger's may raise anything at all; a caller has one exception to expect.
        raise SourceError(
            f"dataset {spec.name!r}: {shown_location(spec.location)} does not open: {type(error).__name__}: {error}"
        ) from error
