"""The configuration: what may stand in it, how it is read, and what is wrong with it. Knows nothing of what is done
with it.

`loading` reads it: `text`, then `paths`, then `models`; what is wrong say `mistakes` and `across`. What follows from it
says `resolved`.
"""

from octree_loader.config.loading import load_config, print_schema
from octree_loader.config.mistakes import ConfigError
from octree_loader.config.models import Config

__all__ = ["Config", "ConfigError", "load_config", "print_schema"]
