"""The studies: what can be asked of a family beside its bounds, each a target of its own (`snakemake trajectory`).

A module of this folder declares one, as its STUDY; whatever lies here is a study.
"""

import importlib
import pkgutil

from scalebound.errors import InputError

STUDIES = {module.name: importlib.import_module(f"{__name__}.{module.name}").STUDY for module in pkgutil.iter_modules(__path__)}


def check_names(names):
    """Raise InputError unless every name is that of a study."""
    for name in names:
        if name not in STUDIES:
            raise InputError("configuration", f"key `studies.run`: unknown study {name!r}", f"Studies: {', '.join(STUDIES)}")
