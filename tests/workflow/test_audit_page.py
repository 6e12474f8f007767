"""The audit page of the smoke preset: complete, self-contained, and safe whatever the files hold."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tokenizers import Tokenizer, models

from scalebound import cli
from scalebound.artifacts.parquet import identity_of, write_parquet
from scalebound.audit.page.page import write_page
from scalebound.audit.page.text import TokenText, visible

HOSTILE = "<script>alert(1)</script>"
FINDING = SimpleNamespace(path="results/smoke/bounds.csv", expected="sha256 0123", found=f"sha256 4567 {HOSTILE}", repair="delete it and run snakemake again")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0"),
]
BOUNDS = {
    f"bound/{length}/{name}": f"{name}_bound{suffix}"
    for length, suffix in (("nominal", ""), ("coded", "_coded"))
    for name in ("paper", "freedman", "geometric", "azuma")
}


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, ids, and the numbers inside links."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.ids, self.linked, self._link, self._value = text, [], [], {}, None, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "a":
            self._link = attributes["href"]
        elif tag == "data" and self._link:
            self._value = attributes["value"]

    def handle_endtag(self, tag):
        if tag == "a":
            self._link = None
        elif tag == "data":
            self._value = None

    def handle_data(self, data):
        if self._link and self._value is not None:
            self.linked.setdefault(self._link, []).append((self._value, data))

    def section(self, name):
        """The source of the section with this id, with those inside of it."""
        start = self.text.index(f'<section id="{name}">')
        depth = 0
        for tag in re.finditer(r"<(/?)section\b", self.text[start:]):
            depth += -1 if tag[1] else 1
            if not depth:
                return self.text[start : start + tag.end()]
        raise AssertionError(f"section {name} does not end")

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def make(results, out, **options):
    write_page(results, out, **options)
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def file(finished, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "audit.html"
    write_page(finished.path("results"), out, findings=[FINDING], summary={"families": "smoke", "recomputed": "all"})
    return out


@pytest.fixture(scope="module")
def page(file):
    return Page(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def table(finished):
    with open(finished.path("results/smoke/bounds.csv"), newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def certificates(finished):
    with open(finished.path("results/smoke/certificates.csv"), newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def results(finished, tmp_path):
    """A copy of the results that a test may damage, without the models, which the page never reads."""
    return shutil.copytree(finished.path("results"), tmp_path / "results", ignore=shutil.ignore_patterns("*.safetensors", "*.whl", "*.png", "*.pdf"))


def test_page_loads_nothing_from_anywhere(page):
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert not page.attributes("src")
    assert all(href.startswith("#") for href in page.attributes("href"))
    style = page.text.split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)
    assert any("default-src 'none'" in content for content in page.attributes("content"))


def test_every_link_has_a_target_and_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))
    assert {href.removeprefix("#") for href in page.attributes("href")} <= set(page.ids)


def test_numbers_of_the_table_are_those_of_bounds_csv(page, table):
    for row in table:
        home = f"#smoke/{row['checkpoint']}/quantizers/{row['quantizer']}"
        for place, column in BOUNDS.items():
            assert (row[column], f"{float(row[column]):.3f}") in page.linked[f"{home}/{place}"]
        assert (row["quantized_loss"], f"{float(row['quantized_loss']):.3f}") in page.linked[f"{home}/score"]
        # before them comes the number of the table of certificates
        assert [value for value, _ in page.linked[f"{home}/encode"]][-2:] == [row["nominal_bits_per_param"], row["coded_bits_per_param"]]
        assert (row["train_loss"], f"{float(row['train_loss']):.3f}") in page.linked[f"#smoke/{row['checkpoint']}/score"]


def test_numbers_of_the_certificates_are_those_of_their_table(page, certificates):
    for row in certificates:
        home = f"#smoke/{row['checkpoint']}/quantizers/{row['quantizer']}"
        assert (row["certificate"], f"{float(row['certificate']):.3f}") in page.linked[f"{home}/certificate"]
        assert (row["estimate"], f"{float(row['estimate']):.3f}") in page.linked[f"{home}/certificate"]
        assert (row["tuned"], f"{float(row['tuned']):.3f}") in page.linked[f"{home}/bound"]
        for step in ("paper_recipe", "real_code_length", "geometric"):
            assert (row[step], f"{float(row[step]):.3f}") in page.linked[f"#smoke/{row['checkpoint']}"]


def test_a_certificate_is_shown_with_its_terms_choices_files_and_how_to_verify_it(page, finished, certificates):
    for row in certificates:
        folder = f"results/smoke/{row['checkpoint']}/quantizers/{row['quantizer']}/certificate"
        content = json.loads(finished.path(folder, "certificate.json").read_text())
        shown = page.section(folder.removeprefix("results/"))
        numbers = [*content["terms"].values(), content["value"], *content["values"].values(), content["C"], content["choice"]["weight"]]
        numbers += [*content["choice"]["point"].values(), *content["grid_sizes"].values(), content["code_length_bits"]]
        numbers += [content["settings"][name] for name in ("stream_failure_probability", "draw_failure_probability")]
        # of the online method, and of what is stated beside the certificate
        numbers += [content["C_reference"], content["choice"]["reference_weight"], len(content["history"]["references"])]
        numbers += [content["halves"][name] for name in ("reference_loss", "reference_bound", "difference_bound", "mean_largest_difference")]
        numbers += [other["value"] for other in content["also"]]
        assert len(content["also"]) == 2
        assert [number for number in numbers if f'<data value="{number!r}">' not in shown] == []
        assert all(file["sha256"] in shown and f"{folder}/{file['name']}" in shown for file in content["files"])
        assert content["holds_for"] in shown
        assert f"<code>scalebound verify {folder}</code>" in shown
        assert '<span class="label">certificate</span> With probability at least' in shown


def test_a_certificate_of_windows_that_are_no_uniform_draw_is_not_called_one(results, tmp_path):
    for path in results.rglob("certificate.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"sampling": "approximate", "holds_for": "an approximation of the training stream"}))
    shown = make(results, tmp_path / "audit.html").section("smoke/smoke-6k/quantizers/coded/certificate")
    assert '<span class="label">approximate</span>' in shown
    assert '<span class="label">certificate</span>' not in shown
    assert "With probability at least" not in shown


def test_what_is_claimed_covers_every_number_and_names_the_settings_of_each_certificate(page, finished, table, certificates):
    shown = page.section("smoke/claims")
    for rows in (table, certificates):
        filled = [column for column in rows[0] if any(row[column] for row in rows)]
        assert [column for column in filled if shown.count(f"<code>{column}</code>") < 1] == []
    assert "<code>true_risk</code>" not in shown  # nothing is known of it here
    kinds = dict(re.findall(r"<tr><th scope=\"row\"><code>(\w+)</code>.*?</th><td>(?:<strong>)?(\w+)", shown))
    assert (kinds["certificate"], kinds["estimate"], kinds["gap_ratio"], kinds["train_loss"]) == ("certificate", "estimate", "comparison", "measurement")
    for row in certificates:
        folder = finished.path(f"results/smoke/{row['checkpoint']}/quantizers/{row['quantizer']}/certificate")
        content = json.loads((folder / "certificate.json").read_text())
        numbers = [100 * content["share_of_training"]]
        for statement in (content, *content["also"]):
            numbers += [statement["value"], statement["from"], statement["windows"]["pilot"], statement["windows"]["rest"]]
            numbers += [statement["settings"][f"{name}_failure_probability"] for name in ("stream", "draw")]
        assert [number for number in numbers if f'<data value="{number!r}">' not in shown] == []
        assert (repr(content["value"]), f"{content['value']:.3f}") in page.linked[f"#smoke/{row['checkpoint']}/quantizers/{row['quantizer']}/certificate"]


def test_of_rows_that_are_an_approximation_no_certificate_is_claimed(results, tmp_path):
    for path in results.rglob("certificate.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sampling": "approximate"}))
    shown = make(results, tmp_path / "audit.html").section("smoke/claims")
    assert "<strong>Nothing here is a certificate</strong>" in shown
    assert "<strong>certificate</strong>" not in shown
    assert "<dt>certificate</dt>" not in shown


def test_of_a_column_of_other_code_nothing_is_claimed(results, tmp_path):
    table = results / "smoke/bounds.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{head},<b>new</b>", *(f"{row},1" for row in rows)]) + "\n")
    shown = make(results, tmp_path / "audit.html").section("smoke/claims")
    assert "of which nothing is claimed: &lt;b&gt;new&lt;/b&gt;." in shown


def test_the_code_of_a_compressed_model_has_no_nominal_length(page, finished):
    content = json.loads(finished.path("results/smoke/smoke-6k/quantizers/coded/encode/code.json").read_text())
    shown = page.section("smoke/smoke-6k/quantizers/coded/encode")
    assert "nominal bits" not in shown
    for number in (content["code_length_bits"], content["bytes"], content["tuned_tokens"], *content["bits_by_parameter"].values()):
        assert f'<data value="{number!r}">' in shown
    assert shown.count(", kept") == 1
    chart = shown[shown.index("<svg") : shown.index("</svg>")]
    assert [chart.count(name) for name in (*content["bits_by_parameter"], "header and self-delimiting length") if name in chart].count(1) > 1
    assert chart.count("header and self-delimiting length") == 1
    assert all(name in shown for name in content["bits_by_parameter"])


SHARD, INDEX = {"path": "0.bin", "size": 9, "sha256": "d" * 64}, {"path": "0.idx", "size": 4}
LISTINGS = {
    "parquet": (
        {"path": "mine/windows.parquet", "unbiased": False},
        {"rows": 40, "row_tokens": 65, "sha256": "c" * 64},
        ["mine/windows.parquet", "approximate", "c" * 64],
    ),
    "megatron": (
        {"repo": "owner/rows", "revision": "main", "folder": None, "unbiased": True},
        {"repo": "owner/rows", "commit": "a" * 40, "rows": 40, "shards": [SHARD], "index": INDEX},
        ["owner/rows at commit " + "a" * 40, "0.bin", "d" * 64, "0.idx", "unbiased"],
    ),
    "hub_dataset": (
        {"repo": "owner/text", "revision": "main"},
        {"repo": "owner/text", "commit": "b" * 40, "files": [{"path": "x/0.parquet", "size": 9, "sha256": "e" * 64}]},
        ["owner/text at commit " + "b" * 40, "x/0.parquet", "approximate"],
    ),
}


@pytest.mark.parametrize("kind", LISTINGS)
def test_a_stream_from_elsewhere_shows_where_its_rows_are(results, tmp_path, kind):
    """Its tokens are numbers: there is no tokenizer beside it."""
    settings, found, words = LISTINGS[kind]
    shutil.rmtree(results / "streams/smoke-sources")
    listing = results / "streams/smoke-sources/resolved.json"
    listing.parent.mkdir()
    identity = {"stage": "resolve-stream", "code": "0", "scalebound": "0", "inputs": {}, "settings": {}, "packages": {}, "python": "3"}
    stream = {"kind": kind, "row_tokens": 65, "vocab_size": 300, **settings}
    listing.write_text(json.dumps({"identity": identity, "stream": stream, "found": found}))
    for path in results.rglob("windows.parquet"):
        windows = pq.read_table(path)
        made = identity_of(windows, path)
        made["inputs"] = {"stream": {"path": "results/streams/smoke-sources/resolved.json", "sha256": "0" * 64}}
        write_parquet(path, windows, made)
    shown = make(results, tmp_path / "audit.html")
    assert {href.removeprefix("#") for href in shown.attributes("href")} <= set(shown.ids)
    assert "This cannot be shown" not in shown.text
    assert all(word in shown.section("streams/smoke-sources") for word in words)
    assert "wheels" not in shown.section("streams/smoke-sources")
    tokens = pq.read_table(results / "smoke/smoke-6k/sample/score/windows.parquet")["tokens"].to_pylist()
    assert any("".join(f">{token} <" for token in window[1:2]) in shown.section("smoke/smoke-6k/score/windows") for window in tokens)


def test_a_released_checkpoint_shows_its_repository_and_commit(results, tmp_path):
    """There is no training run to show, and its files lie in the hub's cache."""
    configuration, resolved = results / "smoke/config.json", results / "smoke/smoke-6k/resolve/resolved.json"
    saved = json.loads(configuration.read_text())
    for row in saved["checkpoints"]:
        row |= {"source": "hub", "repo": "owner/model", "revision": "step60", "note": "as released"} if row["slug"] == "smoke-6k" else {}
    configuration.write_text(json.dumps(saved))
    content = json.loads(resolved.read_text())
    del content["folder"]
    released = {"source": "hub", "repo": "owner/model"}
    content |= {"hub": {"repo": "owner/model", "commit": "f" * 40}, "checkpoint": content["checkpoint"] | released}
    resolved.write_text(json.dumps(content))
    page = make(results, tmp_path / "audit.html")
    assert {href.removeprefix("#") for href in page.attributes("href")} <= set(page.ids)
    shown = page.section("smoke/smoke-6k/resolve")
    assert all(word in shown for word in ("owner/model", "f" * 40, f"owner/model@{'f' * 40}/model.safetensors", "as released"))
    assert "smoke/smoke-6k/resolve/training" not in page.ids
    assert "smoke/smoke-13k/resolve/training" in page.ids
    assert "This cannot be shown" not in page.text


def test_formulas_give_what_bounds_json_says(page, table):
    assert page.text.count(", as in bounds.json") == 8 * len(table)
    assert 'class="differs"' not in page.text


def test_a_bound_that_its_scores_do_not_give_is_marked(results, tmp_path):
    path = results / "smoke/smoke-6k/quantizers/gptq-4/bound/bounds.json"
    path.write_text(re.sub(r'"bound": 7\.', '"bound": 6.', path.read_text(), count=1))
    assert make(results, tmp_path / "audit.html").text.count('class="differs"') == 1


def test_every_file_is_named_with_its_digest_and_sections_lead_on(page, finished):
    digest = subprocess.run(["sha256sum", finished.path("results/smoke/smoke-6k/score/scores.parquet")], capture_output=True, text=True, check=True)
    assert f"sha256 {digest.stdout.split()[0]}" in page.text
    for stage in ("resolve", "resolve/training", "sample/score", "sample/calibration", "sample/tuning", "sample/certify", "score", "score/windows"):
        assert f"smoke/smoke-6k/{stage}" in page.ids
    for part in ("documents", "tokenizer", "wheels", "rows"):
        assert f"streams/smoke-sources/{part}" in page.ids
    assert "This cannot be shown" not in page.text
    assert str(finished.folder) not in page.text


def test_page_is_accessible_and_small(page, file):
    assert ("html", {"lang": "en"}) in page.tags
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert file.stat().st_size < 1_000_000


def test_bounds_are_called_estimates_and_the_page_says_why(page, table):
    assert page.text.count('<span class="label">estimate</span> Not a certificate: means over the training stream') == len(table)


def test_same_results_give_the_same_bytes(finished, file, tmp_path):
    again = tmp_path / "audit.html"
    write_page(finished.path("results"), again, findings=[FINDING], summary={"families": "smoke", "recomputed": "all"})
    assert again.read_bytes() == file.read_bytes()


def test_problems_are_listed_and_silence_claims_nothing(page, finished, tmp_path):
    assert "1 problem found" in page.text
    assert "delete it and run snakemake again" in page.text
    assert "No problem was found." not in page.text
    assert "No problem was found." in make(finished.path("results"), tmp_path / "clean.html", summary={}).text
    silent = make(finished.path("results"), tmp_path / "silent.html").text
    assert "No problem was found." not in silent
    assert "problem found" not in silent


def test_an_audit_of_hashes_only_says_so_in_its_headline(finished, tmp_path, monkeypatch):
    """Nothing may read as if the numbers had been computed again."""
    monkeypatch.chdir(tmp_path)
    out, partial = tmp_path / "audit.html", "Hashes and identities only: no number was computed again."
    for options, said in ((["--hashes-only"], True), ([], False)):
        arguments = [str(finished.path("results")), "--page", str(out), "--no-manifest", "--workers", "1", *options]
        assert cli.main(["audit", *arguments]) == 0
        text = out.read_text(encoding="utf-8")
        assert (f'<h1>Audit of the results</h1>\n<p class="partial">{partial}</p>' in text) == said
        assert (partial in text) == said
        assert ("No problem was found." in text) != said
        assert ('class="clean"' in text) != said


def test_hostile_text_stays_text(results, tmp_path):
    table = results / "smoke/bounds.csv"
    table.write_text(table.read_text().replace("smoke-13k,estimate", f'"{HOSTILE}",{HOSTILE}').replace("rtn-4", f'"{HOSTILE} "'))
    finding = SimpleNamespace(path=HOSTILE, expected=HOSTILE, found=HOSTILE, repair=HOSTILE)
    hostile = make(results, tmp_path / "audit.html", findings=[finding], summary={HOSTILE: HOSTILE})
    assert "script" not in {tag for tag, _ in hostile.tags}
    assert hostile.text.count("&lt;script&gt;") > 10
    assert len(hostile.ids) == len(set(hostile.ids))
    assert {href.removeprefix("#") for href in hostile.attributes("href")} <= set(hostile.ids)


@pytest.mark.parametrize(
    "path",
    [
        "smoke/bounds.csv",
        "smoke/config.json",
        "smoke/certificates.csv",
        "smoke/smoke-6k/quantizers/gptq-4/bound/bounds.json",
        "smoke/smoke-6k/quantizers/coded/encode/code.json",
        "smoke/smoke-6k/quantizers/coded/certificate/certificate.json",
        "smoke/smoke-6k/score/scores.parquet",
        "smoke/smoke-6k/sample/score/windows.parquet",
        "streams/smoke-sources/tokenizer.json",
        "training/smoke-6k/loss.parquet",
    ],
)
def test_a_damaged_file_costs_only_its_own_sections(results, tmp_path, path):
    file = results / path
    file.write_bytes(file.read_bytes()[:100])
    damaged = make(results, tmp_path / "audit.html")
    assert 1 <= damaged.text.count("This cannot be shown") < 20
    assert str(tmp_path) not in damaged.text
    assert {href.removeprefix("#") for href in damaged.attributes("href")} <= set(damaged.ids)


def test_page_needs_neither_torch_nor_matplotlib():
    code = "import sys, scalebound.audit.page.page; sys.exit(bool({'torch', 'transformers', 'datasets', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def tokens(tmp_path):
    """A byte-level vocabulary with half characters, a line break, a hostile and a special token."""
    vocabulary = {"<|endoftext|>": 0, "Ã": 1, "©": 2, "Ã©": 3, "Ċ": 4, "Ġ<script>": 5, "âĢ®": 6, "a": 7, "ÌĤ": 8}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return TokenText(tmp_path / "tokenizer.json")


def test_tokens_show_every_byte(tokens):
    shown = [tokens.piece(token) for token in range(9)]
    assert shown[:4] == [("<|endoftext|>", "special"), ("⟨C3⟩", "bytes"), ("⟨A9⟩", "bytes"), ("é", "text")]
    assert shown[4:] == [("⏎\n", "text"), (" <script>", "text"), ("⟨U+202E⟩", "text"), ("a", "text"), ("◌\u0302", "text")]
    assert tokens.piece(99) == ("⟨id 99⟩", "bytes")
    assert visible("\x00\u2028\u200b") == "⟨U+0000⟩⟨U+2028⟩⟨U+200B⟩"


def test_window_escapes_its_text_and_colours_by_loss(tokens):
    markup = str(tokens.window([7, 5, 7], np.array([0.1, 9.0])))
    assert "<script>" not in markup
    assert '<i class="n0" title="0.10"> &lt;script&gt;</i>' in markup
    assert '<i class="n8" title="9.00">a</i>' in markup
    assert "given, not predicted" in markup


@pytest.fixture
def browse(file, tmp_path):
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH")

    def run(*options):
        profile = tmp_path / f"profile{len(list(tmp_path.iterdir()))}"
        command = [CHROMIUM, *CHROMIUM_OPTIONS, f"--user-data-dir={profile}", *options, file.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    return run


def test_a_browser_loads_the_page_without_complaint(browse, table):
    done = browse("--dump-dom")
    assert "CONSOLE" not in done.stderr
    assert Page(done.stdout).linked.keys() >= {f"#smoke/{row['checkpoint']}/quantizers/{row['quantizer']}/encode" for row in table}


def test_a_browser_draws_the_page(browse, tmp_path):
    done = browse("--window-size=1200,1600", f"--screenshot={tmp_path / 'page.png'}")
    assert "CONSOLE" not in done.stderr
    with Image.open(tmp_path / "page.png") as image:
        assert image.size == (1200, 1600)
        pixels = np.asarray(image.convert("L"), dtype=float)
    assert pixels.mean() > 180, "the page is not light"
    assert (pixels < 90).mean() > 0.005, "the page has no text"
