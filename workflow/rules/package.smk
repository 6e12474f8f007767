"""
The Python package of the very commit that these rules are of. Beside rules on this disk it lies ready; rules that snakemake
reads out of a git repository (a `module` by github(), gitlab(), `gh:` or git+file:) bring a checkout of their commit, made once
in .snakemake/scalebound/ of the folder that the workflow runs in.
"""

import importlib
import os
import sys
import tempfile
from pathlib import Path


def import_package(source):
    """Make `import scalebound` mean the package beside the Snakefile in `source` (its folder as snakemake names it); returns the package's folder."""
    folder = str(folder_of_package(source))
    sys.path.insert(0, folder)
    try:
        package = importlib.import_module("scalebound")
        importlib.import_module("scalebound.plan.plan")
    except ModuleNotFoundError as error:
        raise WorkflowError(
            f"No module {error.name!r} for the workflow in {source}: run snakemake where envs/requirements.txt is installed, as `make` does"
        )
    if Path(package.__file__).resolve().parent != Path(folder, "scalebound").resolve():
        raise WorkflowError(
            f"The rules of {source} need the package scalebound beside them, and that of {package.__file__} is loaded already: "
            "use one version of this workflow in a run, and start snakemake anew"
        )
    return folder


def folder_of_package(source):
    if hasattr(source, "hosted_repo"):
        return checked_out(source.hosted_repo.repo_clone, source.ref) / source.path
    if hasattr(source, "repo_path"):
        return checked_out(source.repo_path, source.ref) / source.path
    if not getattr(source, "is_local", False):
        raise WorkflowError(
            f"The rules of {source} come without the package that their jobs run. Name a git repository instead, by "
            "github(...), gitlab(...) or git+file:, or the Snakefile of a checkout on this machine"
        )
    return Path(str(source)).absolute()


def checked_out(repository, ref):
    """Folder with a clone of a local repository at a branch, tag or commit; two that make it at once do not disturb each other."""
    import git

    commit = git.Repo(repository).commit(ref).hexsha
    place = Path(".snakemake", "scalebound", commit).absolute()
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as aside:
            clone = git.Repo.clone_from(
                str(repository), f"{aside}/clone", no_checkout=True
            )
            clone.git.checkout("--detach", commit)
            clone.close()
            try:
                os.rename(f"{aside}/clone", place)
            except OSError:
                if not place.exists():
                    raise
    return place
