"""The environment in which the workflow's jobs find their interpreter and this package."""

import os
import sys

from scalebound.errors import InputError


def export(package_folder):
    """Let `python -m scalebound` in jobs mean the interpreter that runs snakemake and the package in `package_folder`.

    Raises:
        InputError: the folder lies where neither PYTHONPATH nor snakemake can name it.
    """
    odd = sorted({os.pathsep, "{", "}"} & set(str(package_folder)))
    if odd:
        raise InputError(package_folder, f"{' '.join(odd)} in its path, by which jobs would find another folder or none", "Move the project to another folder")
    for name, first in (("PATH", os.path.dirname(sys.executable)), ("PYTHONPATH", str(package_folder))):
        rest = [folder for folder in os.environ.get(name, "").split(os.pathsep) if folder and folder != first]
        os.environ[name] = os.pathsep.join([first, *rest])
