"""A copy of the repository in an empty folder, and snakemake in it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("Snakefile", "workflow", "config", "profiles", "envs")


class Workspace:
    """A copy of the workflow, free to be edited and run."""

    def __init__(self, folder):
        self.folder = Path(folder)

    @classmethod
    def create(cls, folder):
        for part in PARTS:
            source, target = ROOT / part, Path(folder) / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        return cls(folder)

    def copy(self, folder):
        """The same workspace elsewhere, with results and snakemake's records and unchanged times."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, symlinks=True)
        return Workspace(folder)

    def path(self, *parts):
        return self.folder.joinpath(*parts)

    def edit(self, path, old, new):
        """Replace the one occurrence of `old` in a file."""
        text = self.path(path).read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {path}"
        self.path(path).write_text(text.replace(old, new))

    def append(self, path, text):
        with open(self.path(path), "a") as file:
            file.write(text)

    def snakemake(self, *arguments, config="config/smoke.yaml", env=None):
        # `--configfile` takes every word up to the next option: targets stand before it, or behind `--`
        place = arguments.index("--") if "--" in arguments else len(arguments)
        options = ("--cores", "2", "--max-jobs-per-timespan", "100/1s")  # it ends that span after its last job; the profile has a longer one
        command = [sys.executable, "-m", "snakemake", *options, *arguments[:place], "--configfile", config, *arguments[place:]]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=env)

    def scalebound(self, *arguments, env=None):
        """The package of this workspace, not the installed one."""
        environment = {"PYTHONPATH": str(self.path("workflow")), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        command = [sys.executable, "-m", "scalebound", *map(str, arguments)]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=(env or {}) | environment)

    def settings_of_stream(self, stream="smoke-sources", config="config/smoke.yaml"):
        """The section of a stream as the JSON that its commands take."""
        return json.dumps(yaml.safe_load(self.path(config).read_text())["streams"][stream])

    def pending(self, *arguments, config="config/smoke.yaml"):
        """The jobs that a dry run would do, as a sorted list of (rule, log file); the log file names the job."""
        done = self.snakemake(*arguments, "--dry-run", "--quiet", "host", config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        jobs, rule = [], None
        for line in (done.stdout + done.stderr).splitlines():
            words = line.split()
            if len(words) == 2 and words[0] in ("rule", "localrule"):
                rule = words[1].rstrip(":")
            elif words[:1] == ["log:"]:
                jobs.append((rule, words[1]))
        return sorted(jobs)
