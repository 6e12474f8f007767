"""The ledger of docs/claims.md: every column that the tables have is in it, and every test that it names is there."""

import csv
import io
import re

import pages
import pytest
import yaml

from scalebound.artifacts.family_tables import ONLINE_TERMS
from scalebound.audit.page import ledger
from scalebound.commands.certificates import certificates_text
from scalebound.commands.compare import PUBLISHED, comparison_text, read_published
from scalebound.commands.table import row, table_text
from scalebound.plan.studies import STUDIES

PAGE = pages.ROOT / "docs/claims.md"
NAMED = re.compile(r"`((?:(?:unit|workflow)/[\w/]+\.py)?::test_\w+)`")
FORM = {"bound": 5.0, "bound_sqrt": 5.1, "C": 0.1, "sigma": 0.3, "alpha": 0.1, "s": 0.5}
FORM |= {"terms": dict.fromkeys(("train_loss", "parameters_per_token", "loss_variation", "smoothing", "smoothing_sqrt", "quantization_gap"), 0.1)}
# kinds of what the code itself calls a certificate, and of nothing else
CERTIFIED = {"certificate", "without_references", "certificate_from_0_5"}


def bounds_line(quantizer):
    """A line of bounds.csv with every column that it can have."""
    forms = dict.fromkeys(("paper", "freedman", "geometric", "azuma"), FORM) | {"online": {"bound": 4.0, **dict.fromkeys(ONLINE_TERMS, 0.5)}}
    counts = {"n_params": 1000, "n_tokens": 20_000, "vocab_size": 64, "sampled_windows": 8, "sampling": "unbiased", "kind": "estimate", "gptq_share": 1.0}
    losses = {
        "train_loss": 3.0,
        "quantized_loss": 3.1,
        "heldout": {"loss": 3.2, "standard_error": 0.1, "bound": 3.5},
        "later": [{"from": 0.5, "train_loss": 3.0}],
    }
    bits = {"nominal_bits_per_param": 4, "coded_bits_per_param": 4.5}
    return row({"checkpoint": {"slug": "a"}, "quantizer": quantizer, "nominal": forms, "coded": forms} | counts | losses | bits)


def certificates():
    """certificates.csv of a checkpoint whose certificate has another method and a later part beside it."""
    settings = {"method": "online", "stream_failure_probability": 0.005, "draw_failure_probability": 0.005}
    made = {"checkpoint": {"slug": "a"}, "quantizer": "coded", "value": 4.0, "sampling": "unbiased", "coded_bits_per_param": 2.0, "share_of_training": 0.2}
    made |= {"estimate": {"best": {"value": 3.9}}, "terms": {"loss": 3.2}, "windows": {"pilot": 1, "rest": 9}, "C": 0.1, "from": 0.0}
    made |= {"halves": dict.fromkeys(ONLINE_TERMS, 0.5), "settings": settings}
    made["also"] = [{"settings": settings, "from": 0.5, "value": 4.1, "C": 0.2}, {"settings": settings | {"method": "geometric"}, "from": 0.0, "value": 4.2}]
    return certificates_text([made], [bounds_line("gptq-4"), bounds_line("coded")], "gptq-4")


def header(text):
    return next(csv.reader(io.StringIO(text)))


def columns():
    """{table: its columns}, as the commands write them."""
    bounds = table_text([bounds_line("gptq-4")])
    published = read_published(pages.ROOT / "config/published.tsv")
    assert list(published) == PUBLISHED
    compared = comparison_text(pages.pd.read_csv(io.StringIO(bounds)), published, "gptq-4")
    return {"bounds.csv": header(bounds), "certificates.csv": header(certificates()), "comparison.csv": header(compared)}


def named_tests(text):
    """path::name of the tests that a page names; `::name` is of the file that was named before it."""
    found, path = [], None
    for name in NAMED.findall(text):
        path = name.partition("::")[0] or path
        found.append(f"{path}::{name.partition('::')[2]}")
    return found


@pytest.mark.parametrize("table", ["bounds.csv", "certificates.csv", "comparison.csv"])
def test_every_column_of_a_table_is_in_one_line(table):
    assert [line.kind for line in map(ledger.line_of, columns()[table])]


def test_every_line_is_of_a_column_that_is_written():
    written = {ledger.line_of(column) for names in columns().values() for column in names}
    assert set(ledger.LINES) == written


def test_every_table_of_a_study_is_in_one_line():
    tables = [name for study in STUDIES.values() for name in study.tables]
    assert sorted(tables) == sorted(name for line in ledger.STUDIES for name in line.columns)


def test_a_column_of_no_line_is_named():
    with pytest.raises(LookupError, match="column 'a_new_number' is in 0 lines"):
        ledger.line_of("a_new_number")


def test_what_is_called_a_certificate_is_one():
    """Every column of bounds.csv is an estimate or less, and of certificates.csv only what a certificate.json states is one."""
    found = {column for names in columns().values() for column in names if ledger.line_of(column).kind == "certificate"}
    assert found == CERTIFIED
    assert not found & set(columns()["bounds.csv"])
    assert {line.kind for line in ledger.LINES + ledger.STUDIES} == set(ledger.KINDS)


def test_the_bounds_of_the_table_are_estimates():
    for column in columns()["bounds.csv"]:
        if "bound" in column:
            assert ledger.line_of(column).kind == "estimate", column


def test_every_line_says_what_it_rests_on():
    for line in ledger.LINES + ledger.STUDIES:
        assert line.is_not.split()[0] in ("not", "nominal"), line
        assert all((line.columns, line.tests)), line
        assert (line.probability == ledger.BOTH) == (line.kind == "certificate"), line
        assert all(getattr(line, name) for name in ("what", "probability", "given", "paid", "elsewhere")), line


def test_every_test_that_is_named_exists():
    text = PAGE.read_text(encoding="utf-8")
    named = named_tests(text)
    assert {test for line in ledger.LINES + ledger.STUDIES for test in line.tests} <= set(named)
    assert len(named) == text.count("::test_")
    for path, _, name in (test.partition("::") for test in named):
        source = pages.ROOT / "tests" / path
        assert source.is_file(), path
        assert re.search(rf"^def {name}\(", source.read_text(encoding="utf-8"), re.M), f"{path}::{name}"


def test_the_page_has_every_kind_and_every_question():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"**{kind}**" in text for kind in ledger.KINDS)
    questions = re.findall(r"^\*\*(.+?)\?\*\*(.+?)(?=^\*\*|\Z)", text.partition("## The standing questions")[2], re.M | re.S)
    assert len(questions) == 8
    assert all(named_tests(answer) for _, answer in questions)


def test_rows_that_settings_were_tried_on_are_seen_by_no_preset():
    """config/README.md says from which row on trials were trained; every run on that stream has to end before it."""
    said = re.search(r"trained on rows of the stream from number ([\d,]+) on", (pages.ROOT / "config/README.md").read_text(encoding="utf-8"))
    first, runs = int(said[1].replace(",", "")), {}
    default = yaml.safe_load((pages.ROOT / "config/config.yaml").read_text(encoding="utf-8"))["training"]
    for path in (pages.ROOT / "config").glob("*.yaml"):
        written = default | (yaml.safe_load(path.read_text(encoding="utf-8")).get("training") or {})
        for name, run in written.items():
            run = written.get(run.get("like"), {}) | run
            if run.get("stream") == "python-sources":
                runs[name] = run["steps"] * run["batch_rows"] // run.get("epochs", 1)
    assert len(runs) >= 7
    assert max(runs.values()) <= first
