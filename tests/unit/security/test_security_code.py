"""Data is never executed: what no module of the package may import or call, and how pip is called."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

from scalebound import cli
from scalebound.configuration.streams import Wheel
from scalebound.corpus import wheels
from scalebound.errors import InputError

PACKAGE = Path(cli.__file__).parent

FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
NETWORK_MODULES = {"urllib.request", "http.client", "ftplib", "requests", "httpx", "aiohttp", "fsspec", "urllib3"}
# an exception, which torch's restricted loader raises; what the environment says of proxies, without a connection
HARMLESS = {"from pickle import UnpicklingError", "from urllib.request import getproxies, proxy_bypass"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {"system", "popen", "read_pickle", "to_pickle", "unsafe_load", "load_module"}
# git, pip, and the worker that does jobs; nothing else starts a process
BENCHMARKS = {"benchmarks/memory.py": "run", "benchmarks/plan.py": "run"}
PROCESSES = BENCHMARKS | {"artifacts/provenance.py": "run", "corpus/wheels.py": "run", "models/device_locks.py": "run", "warm.py": "Popen"}


def forbidden(tree):
    """Lines of a module that import or call what can execute data."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if ({name.split(".")[0] for name in names} & FORBIDDEN_MODULES or set(names) & NETWORK_MODULES) and ast.unparse(node) not in HARMLESS:
                yield node.lineno, f"imports {names[0]}"
            if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & FORBIDDEN_ATTRIBUTES:
                yield node.lineno, f"imports {node.names[0].name} from {node.module}"
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, problem) for problem in _forbidden_call(node))


def _forbidden_call(node):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if (not owner and name in FORBIDDEN_NAMES) or (owner and name in FORBIDDEN_ATTRIBUTES):
        yield f"calls {name}"
    if owner == "os" and name.startswith(("exec", "spawn", "posix_spawn")):
        yield f"calls os.{name}"
    if (owner, name) == ("torch", "load") and given.get("weights_only") != "True":
        yield "calls torch.load without weights_only=True"
    if (owner, name) == ("yaml", "load") and "Safe" not in ast.unparse(node):
        yield "calls yaml.load without a safe loader"
    if given.get("shell", "False") != "False" or given.get("allow_pickle", "False") != "False":
        yield "passes shell or allow_pickle"
    if name in ("from_pretrained", "from_config") and given.get("trust_remote_code") != "False":
        yield f"{name} may run remote code"
    if name == "from_pretrained" and given.get("local_files_only") != "True":
        yield "from_pretrained may download"
    if name == "from_pretrained" and owner not in ("AutoConfig", "AutoTokenizer") and "True" not in (given.get("use_safetensors"), given.get("weights_only")):
        yield "from_pretrained may open a pickle"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_can_execute_data(path):
    assert list(forbidden(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "from pickle import UnpicklingError, loads",
        "import urllib.request",
        "from os import system",
        "os.system('x')",
        "os.execv('x', [])",
        "eval('1')",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run('x', shell=True)",
        "AutoConfig.from_pretrained(folder, local_files_only=True)",
        "AutoConfig.from_pretrained(folder, trust_remote_code=False)",
        "Auto.from_pretrained(folder, trust_remote_code=False, local_files_only=True)",
        "Auto.from_pretrained(folder, trust_remote_code=False, local_files_only=True, use_safetensors=kind, weights_only=False)",
        "AutoTokenizer.from_pretrained(folder, local_files_only=True)",
        "Auto.from_config(config)",
        "Auto.from_config(config, trust_remote_code=flag)",
    ],
)
def test_the_check_for_calls_that_execute_data_finds(line):
    assert list(forbidden(ast.parse(line)))


def test_only_known_programs_are_started_and_without_a_shell():
    starts = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("subprocess."):
                starts.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(ast.unparse(node.func))
    assert starts == {name: {f"subprocess.{how}"} for name, how in PROCESSES.items()}


def test_pip_fetches_by_digest_and_builds_and_installs_nothing(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(wheels.subprocess, "run", lambda command, **_: seen.append(command) or SimpleNamespace(returncode=1, stderr="", stdout=""))
    wheel = Wheel(name="x", version="1", file="x.whl", sha256="0" * 64)
    with pytest.raises(InputError):
        wheels.download([wheel], tmp_path)
    (command,) = seen
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--require-hashes"} <= set(command)
    assert [path.name for path in tmp_path.iterdir()] == []
