"""The last line of a run, of a workflow that only says what snakemake's says."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from scalebound import closing
from scalebound.artifacts.provenance import record_digest


def write(path, stage="score", cpu=1.0, **other):
    record = {"stage": stage, "arguments": [], "outputs": {}, "host": "h", "platform": "p", "git": {}, "cpu_s": cpu, "wall_s": 1.0, "peak_rss_bytes": 1}
    record = {key: value for key, value in (record | {"started": "2026-01-01T00:00:00.000+00:00"} | other).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record | {"record_sha256": record_digest(record)}))


def workflow(paths, cores=2, quiet=None, **other):
    jobs = [SimpleNamespace(output={"record": str(path)}) for path in paths] + [SimpleNamespace(output={})]
    dag = SimpleNamespace(needrun_jobs=lambda: iter(jobs))
    settings = SimpleNamespace(quiet=[SimpleNamespace(name=name) for name in quiet] if quiet else None)
    return SimpleNamespace(dag=dag, cores=cores, local_exec=True, touch=False, output_settings=settings, **other)


@pytest.fixture
def paths(tmp_path):
    return [tmp_path / f"{k}/run.json" for k in range(5)]


def run(paths, stages, **more):
    made = closing.Run(workflow(paths, **more))
    made.begin()
    for path, (stage, cpu) in zip(paths, stages):
        write(path, stage, cpu)
    return made


def test_the_three_stages_that_took_most_and_the_rest(paths):
    made = run(paths, [("score", 1.5), ("train", 1200.0), ("score", 2.5), ("bound", 0.25), ("table", 0.5)])
    made.since -= 3723
    assert made.line() == "This run took 1 h 2 min on 2 cores; its 5 jobs took 1,204.8 s of CPU: train 1,200.0 s, score 4.0 s, table 0.5 s, others 0.2 s"


def test_one_job_on_one_core(paths):
    assert run(paths, [("table", 0.1)], cores=1).line() == "This run took 0 s on 1 core; its 1 job took 0.1 s of CPU: table 0.1 s"


def test_records_of_earlier_runs_do_not_count_unless_they_are_written_again(paths):
    for path in paths:
        write(path, "old", 5.0)
    assert run(paths, []).line() is None
    assert run(paths, [("score", 0.5)]).line().endswith("its 1 job took 0.5 s of CPU: score 0.5 s")
    # snakemake removes the outputs of a job before it runs it, and one that fails has no record
    made = run(paths, [])
    paths[1].unlink()
    assert made.line() is None


def test_nothing_is_said_where_nothing_was_done_or_is_to_be_said(paths):
    assert run([], []).line() is None
    assert run(paths, [("score", 1.0)], quiet=["ALL"]).line() is None
    assert run(paths, [("score", 2.0)], quiet=["RULES", "HOST"]).line() is not None


def test_files_that_are_only_touched_are_no_jobs(paths):
    write(paths[0])
    made = closing.Run(workflow(paths))
    made.workflow.touch = True
    made.begin()
    write(paths[0], cpu=2.0)
    assert made.line() is None


def test_a_record_that_lacks_something_ends_no_run(paths, capsys):
    made = run(paths, [])
    write(paths[0], cpu_s=None)
    assert re.fullmatch(r"What this run took is not known: .*/0/run\.json: no 'cpu_s' in it\. .*", made.line())
    made.fail()
    assert capsys.readouterr().err == f"{made.line()}\n"


def test_a_workflow_that_says_nothing_ends_no_run():
    made = closing.Run(SimpleNamespace())
    made.begin()
    made.fail()


def test_jobs_on_other_machines_have_no_cores_here(paths):
    made = run(paths, [("score", 1.0)])
    made.workflow = SimpleNamespace(local_exec=False, output_settings=made.workflow.output_settings)
    assert made.line().startswith("This run took 0 s with jobs on other machines; its 1 job took")


def test_nothing_heavy_is_loaded_into_the_process_of_snakemake(paths):
    """The line is the last that is printed, also after what others say at their end."""
    write(paths[0])
    code = """
import sys
from types import SimpleNamespace
from scalebound import closing
made = closing.Run(SimpleNamespace(cores=1, local_exec=True, output_settings=SimpleNamespace(quiet=None)))
made.before = {sys.argv[1]: None}
made.end()
print(sorted({"torch", "pandas", "matplotlib", "numpy", "pyarrow", "rich"} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, str(paths[0])], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"\[\]\nThis run took 0 s on 1 core; its 1 job took 1\.0 s of CPU: score 1\.0 s\n", done.stderr)
