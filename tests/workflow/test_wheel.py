"""The wheel of `pip wheel .` in an environment that has nothing of this checkout: only the installed dependencies are shared."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workflow/scalebound"
CODED = "results/smoke/smoke-6k/quantizers/coded"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built in a copy, since a build leaves folders behind."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(PACKAGE, source / "workflow/scalebound", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", source / "dist", source)
    (made,) = (source / "dist").glob("scalebound-*.whl")
    return made


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory):
    return installed(wheel, tmp_path_factory.mktemp("fresh") / "venv")


def installed(source, folder):
    """The `bin` of a new environment with the package of a wheel or an archive. A .pth file lends it the dependencies; .pth files in there,
    such as that of this checkout's editable install, are not followed."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    words = ("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed")
    run(sys.executable, "-m", "pip", "--python", folder / "bin/python", *words, source)
    assert Path(run(folder / "bin/python", "-c", "import scalebound; print(scalebound.__file__)").strip()).is_relative_to(site)
    return folder / "bin"


def run(*command, cwd=None):
    """What the command prints; it must succeed, without anything of this process's environment that leads to the checkout."""
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": "/nonexistent", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("scalebound/")}
    kept = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert packed == kept
    assert any(name.endswith(".j2") for name in packed)


def test_what_the_package_imports_is_among_the_dependencies_that_the_wheel_names(wheel):
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    stated = {re.split(r"[=<> ]", word)[0].lower() for word in re.findall(r"^Requires-Dist: (.+)$", metadata, re.M)}
    nodes = [node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    names = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    outside = names - set(sys.stdlib_module_names) - {"scalebound"}
    distributions = importlib.metadata.packages_distributions()
    assert {distributions[name][0].lower() for name in outside} <= stated


def test_a_certificate_is_verified_by_the_installed_command(fresh, finished, tmp_path):
    shutil.copytree(finished.path(f"{CODED}/certificate"), tmp_path / "certificate")
    assert "verified: files, code length" in run(fresh / "scalebound", "verify", "certificate", "--device", "cpu", cwd=tmp_path)


def test_an_archive_is_verified_by_the_package_that_is_in_it(released, tmp_path):
    """Elsewhere, and with nothing beside it."""
    shutil.copy(released.path("results/scalebound-smoke.zip"), tmp_path / "x.zip")
    said = run(installed(tmp_path / "x.zip", tmp_path / "venv") / "scalebound", "verify", "x.zip", "--device", "cpu", cwd=tmp_path)
    assert said.count(" nats per token, verified\n") == 2
    assert "verified of each: files, code length" in said


def test_the_bounds_of_the_python_page_run_from_the_wheel(fresh, tmp_path):
    random = np.random.default_rng(0)
    for name in ("nll", "entropy"):
        np.save(tmp_path / f"{name}.npy", random.uniform(1, 3, size=(400, 64)))
    examples = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), re.M | re.S)
    (tmp_path / "examples.py").write_text("\n".join(examples[:2]) + "\nimport sys\nassert 'torch' not in sys.modules\n")
    assert "'geometric': " in run(fresh / "python", "examples.py", cwd=tmp_path)
