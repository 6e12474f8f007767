"""The environment in which the workflow's jobs find their interpreter and this package."""

import os
import sys


def export(package_folder):
    """Let `python -m scalebound` in jobs mean the interpreter that runs snakemake and the package in `package_folder`."""
    for name, first in (("PATH", os.path.dirname(sys.executable)), ("PYTHONPATH", str(package_folder))):
        rest = [folder for folder in os.environ.get(name, "").split(os.pathsep) if folder and folder != first]
        os.environ[name] = os.pathsep.join([first, *rest])
