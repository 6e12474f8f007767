"""Words of the ledger on the audit page."""

from scalebound.audit.page import ledger
from scalebound.audit.page.claims import readable


def test_names_are_code_and_failure_probabilities_have_the_letters_of_the_page():
    assert readable("draw: d2; half of d in `d1.csv`, a draw") == "draw: δ₂; half of δ in <code>d1.csv</code>, a draw"


def test_signs_of_html_are_text():
    assert readable("a < b & `<i>`") == "a &lt; b &amp; <code>&lt;i&gt;</code>"


def test_no_name_of_the_ledger_is_left_open():
    for line in ledger.LINES:
        for text in (line.what, line.probability, line.given, line.is_not):
            assert text.count("`") % 2 == 0
            assert "`" not in readable(text)
