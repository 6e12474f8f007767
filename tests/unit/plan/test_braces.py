"""Lists of paths in one word of a command line, and back."""

import itertools

import pytest

from scalebound.commands import documents
from scalebound.commands.arguments import Paths
from scalebound.plan.braces import braced, expanded


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["a/b"], ["a/b"]),
        (["a/x/c", "a/y/c"], ["a/{x,y}/c"]),
        ([f"r/{slug}/q/{q}/f.json" for slug in "abc" for q in ("1", "2")], ["r/{a,b,c}/q/{1,2}/f.json"]),
        # not every combination, another order, another depth, a comma or brace in a name
        (["a/x/1", "a/y/2"], None),
        ([f"{b}/{a}" for a in "12" for b in "xy"], None),
        (["a/x", "a/y/z"], None),
        (["a/x,y", "a/z"], None),
        (["a/{x}", "a/z"], None),
        ([], []),
    ],
)
def test_what_is_written_is_what_is_read(paths, words):
    found = braced(paths)
    assert found == (paths if words is None else words)
    if not any("," in path or "{" in path for path in paths):
        assert list(itertools.chain(*map(expanded, found))) == paths


def test_the_rows_of_a_large_family_fit_into_one_word():
    """One word of a command line of Linux holds 131,071 bytes; the whole line of a job is one word to the shell."""
    paths = [f"results/pythia/pythia-12b-deduped-step{step}/quantizers/{q}/bound/bounds.json" for step in range(1232) for q in ("rtn-4", "gptq-4", "coded")]
    (word,) = braced(paths)
    assert len(word) < 50_000
    assert len(" ".join(paths)) > 131_071
    assert expanded(word) == paths


def test_commands_that_take_many_files_take_such_a_word():
    import argparse

    parser = argparse.ArgumentParser()
    documents.add_arguments(parser)
    (action,) = (action for action in parser._actions if action.dest == "wheels")
    assert isinstance(action, Paths)
    assert parser.parse_args(["--settings", "{}", "--out", "o", "--wheels", "w/{a,b}.whl", "w/c.whl"]).wheels == ["w/a.whl", "w/b.whl", "w/c.whl"]
