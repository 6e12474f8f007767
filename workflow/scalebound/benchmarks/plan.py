"""How long snakemake takes to plan every released step of every size of Pythia, beside as many jobs that have nothing but a name."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import yaml

from scalebound.benchmarks.lines import Line
from scalebound.errors import InputError
from scalebound.plan.plan import Plan

SIZES = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
STEPS = (*(2**k for k in range(10)), *range(1000, 144000, 1000))
QUANTIZERS = ("rtn-4", "rtn-8", "gptq-3", "gptq-4", "gptq-8")
LONGEST_WORD = 2**17  # of a command line on Linux
PARTS = ("Snakefile", "workflow", "config", "profiles")


def measure(steps, root):
    """The Lines of a grid of so many steps of each size (154 are all that there are), for the checkout at `root`."""
    if missing := [name for name in PARTS if not (root / name).exists()]:
        raise InputError("bench plan", f"no {missing[0]} in {root}", "Run it in the folder of a checkout")
    with tempfile.TemporaryDirectory(prefix="scalebound-") as folder:
        folder = Path(folder)
        for name in PARTS:
            (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, folder / name)
        configuration = _grid(folder, STEPS[:steps])
        jobs, ours, memory = _planned(folder, "--configfile", configuration.name)
        empty = folder / "empty"
        empty.mkdir()
        (empty / "Snakefile").write_text(f"rule all:\n    input: expand('{{i}}', i=range({jobs - 1}))\nrule one:\n    output: '{{i}}'\n    shell: ':'\n")
        _, bare, _ = _planned(empty)
        longest = _longest_command(folder, configuration)
    about = f"plan of {jobs} jobs, {len(SIZES) * len(STEPS[:steps])} rows"
    yield Line(f"{about}, CPU time", ours, "s", "<= 30")
    yield Line(f"{about}, most memory", memory / 2**30, "GiB", "<= 1")
    yield Line(f"{about}, CPU time / that of as many empty jobs", ours / bare, "")
    yield Line(f"{about}, longest command line", longest, "bytes", f"<= {LONGEST_WORD}")


def _grid(folder, steps):
    lines = ["slug\tfamily\tsource\trepo\trevision\tstep\ttokens_seen\tstream"]
    for size in SIZES:
        for step in steps:
            lines.append(f"pythia-{size}-step{step}\tpythia\thub\tEleutherAI/pythia-{size}\tstep{step}\t{step}\t{step * 1024 * 2048}\tpile-standard")
    (folder / "config/grid.tsv").write_text("\n".join(lines) + "\n")
    own = yaml.safe_load((folder / "config/pythia.yaml").read_text(encoding="utf-8"))
    own |= {"checkpoints": "config/grid.tsv", "quantize_with": list(QUANTIZERS), "certificate": {"quantizer": None}}
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(own))
    return path


def _planned(folder, *options):
    """(number of jobs, CPU seconds, most memory) of `snakemake -n`."""
    code = (
        "import re, resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'snakemake', '-n', '--cores', '1', '--workflow-profile', 'none', *sys.argv[1:]], "
        "capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "found = re.findall(r'^total +([0-9]+)', done.stdout, re.M)\n"
        "print(found[-1] if found else done.stdout[-2000:] + done.stderr[-2000:], used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, *options], cwd=folder, capture_output=True, text=True)
    words = done.stdout.split()
    if len(words) != 3:
        raise InputError("bench plan", f"snakemake said: {done.stdout[-1000:]}{done.stderr[-1000:]}", "Run `snakemake -n` in this checkout first")
    unit = 1 if sys.platform == "darwin" else 1024
    return int(words[0]), float(words[1]), int(words[2]) * unit


def _longest_command(folder, configuration):
    """Bytes of the longest command line of a rule about the family."""
    from snakemake.utils import update_config

    value = yaml.safe_load((folder / "config/config.yaml").read_text(encoding="utf-8"))
    update_config(value, yaml.safe_load(configuration.read_text()))
    plan = Plan.from_configuration(value | {"checkpoints": str(folder / "config/grid.tsv"), "published": {}})
    targets = [plan.job(path) for path in plan.targets_of("pythia", "online", "information", "trajectory", "quantizability")]
    return max(len(" ".join(_words(plan, job))) for job in targets)


def _words(plan, job):
    (rule,) = (rule for rule in plan.rules if rule.name == job.rule)
    return rule.words(SimpleNamespace(family="pythia", figure=job.record.rsplit("/", 1)[-1].split(".")[0]))
