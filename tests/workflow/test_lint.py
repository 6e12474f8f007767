"""Snakemake's own linter has nothing to say."""


def test_the_workflow_is_lint_free(workspace):
    done = workspace.snakemake("--lint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Congratulations" in done.stdout + done.stderr
