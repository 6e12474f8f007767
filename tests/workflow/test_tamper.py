"""The audit names every tampered artifact, of every kind, even when the run record was forged to match."""

import itertools
import json
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from forged_certificates import ATTACKS, FILES, Forged, value_and_its_kin_lowered
from snakemake.utils import update_config
from workspace import ROOT

from scalebound.artifacts.provenance import file_sha256, record_digest
from scalebound.audit.chain import Folder
from scalebound.audit.run import Audit, audit, check_chain, check_numbers
from scalebound.plan.plan import Plan

SLUG = "results/smoke/smoke-6k"
QUANTIZER = f"{SLUG}/quantizers/gptq-4"
CODED = f"{SLUG}/quantizers/coded"
CERTIFICATE = f"{CODED}/certificate"
STREAM = "results/streams/smoke-sources"


def findings(workspace, numbers=False):
    return audit(workspace.path("results"), workers=1, numbers=numbers).findings


def named(workspace, numbers=False):
    return {finding.path for finding in findings(workspace, numbers)}


def expected_jobs(workspace):
    return Plan.from_results(workspace.path("results/smoke/config.json")).jobs_of("smoke")


def kind(stage, name):
    """Artifacts of one kind: the same stage and the same place in a folder's scheme."""
    parts = name.split("/")
    return f"{stage} {re.sub(r'.*(?=[.](whl|png|pdf)$)', '*', parts[-1])} {parts[-2] if parts[-2] in ('certificate', 'heldout') else ''}".rstrip()


def examples():
    """One example of every kind of artifact of the smoke run, as the plan declares them: a new stage is tampered with without being named here."""
    settings, preset = (yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("config", "smoke"))
    update_config(settings, preset | {"checkpoints": str(ROOT / "config/smoke.tsv")})
    jobs = Plan.from_configuration(settings).jobs_of("smoke")
    return {kind(job.stage, name): name for job in jobs for name in job.outputs}


EXAMPLES = examples()


def findings_of(workspace, *names):
    """What the audit finds about the jobs that made these files, numbers computed again, by what it does with every job."""
    jobs = [job for job in expected_jobs(workspace) if set(names) & set(job.outputs)]
    folder, outcome = Folder(workspace.folder), Audit(families=[])
    check_chain(jobs, folder, outcome)
    check_numbers(jobs, folder, outcome, workers=1)
    return outcome.findings


def forge(workspace, name):
    """Make the run record fit the tampered file, as somebody would who knows of the records."""
    job = next(job for job in expected_jobs(workspace) if name in job.outputs)
    path = workspace.path(job.record)
    record = json.loads(path.read_text())
    record["outputs"][name] = file_sha256(workspace.path(name))
    path.write_text(json.dumps(record | {"record_sha256": record_digest(record)}))


def forge_certificate(workspace, attack):
    """Attack the certificate, and make all of its digests and both run records fit."""
    forged = Forged(workspace.path(CERTIFICATE), workspace.path(f"{CODED}/quantize/codes.safetensors"))
    attack(forged)
    forged.save()
    for name in ("certificate.json", *FILES):
        forge(workspace, f"{CERTIFICATE}/{name}")


def findings_of_certificate(workspace):
    return findings_of(workspace, f"{CERTIFICATE}/certificate.json", f"{CERTIFICATE}/scores.parquet")


def flip_byte(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)


def swap(first, second):
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def test_an_untouched_run_passes_in_full(finished):
    outcome = audit(finished.path("results"), workers=2)
    assert outcome.findings == []
    assert outcome.older == []
    assert outcome.recomputed > 25


def test_the_rules_make_exactly_what_the_audit_expects(finished):
    done = finished.snakemake("--summary")
    made = {line.split("\t")[0] for line in done.stdout.splitlines()[1:] if line.startswith("results/")}
    jobs = expected_jobs(finished)
    assert made == {name for job in jobs for name in (*job.outputs, job.record)}


def test_the_plan_of_the_saved_configuration_is_that_of_the_run(finished):
    assert set(EXAMPLES.values()) <= {name for job in expected_jobs(finished) for name in job.outputs}


@pytest.fixture(scope="module")
def shared_copy(finished, tmp_path_factory):
    """One copy for tests that put back what they change."""
    return finished.copy(tmp_path_factory.mktemp("tamper") / "workspace")


@pytest.mark.parametrize(("place", "example"), list(zip(itertools.cycle([0.5, 0.0, 0.999]), EXAMPLES)))
def test_one_flipped_byte_is_named(shared_copy, example, place):
    path = shared_copy.path(EXAMPLES[example])
    before = path.read_bytes()
    try:
        flip_byte(path, place)
        assert EXAMPLES[example] in named(shared_copy)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_deleted_file_is_named(shared_copy, example):
    path = shared_copy.path(EXAMPLES[example])
    if example == "resolved-config config.json":
        pytest.skip("without its configuration a family is not known; the orphan test covers what is left of it")
    before = path.read_bytes()
    try:
        path.unlink()
        assert EXAMPLES[example] in named(shared_copy)
    finally:
        path.write_bytes(before)


def test_a_family_without_its_configuration_is_all_orphans(finished_copy):
    """Another family is left, so that there is something to audit."""
    shutil.copytree(finished_copy.path("results/smoke"), finished_copy.path("results/other"))
    finished_copy.path("results/other/config.json").unlink()
    assert "results/other/bounds.csv" in named(finished_copy)


@pytest.mark.parametrize("record", [f"{SLUG}/score/run.json", "results/smoke/figures/terms.run.json"])
def test_an_edited_run_record_is_named(shared_copy, record):
    path = shared_copy.path(record)
    before = path.read_text()
    try:
        path.write_text(before.replace('"wall_s": ', '"wall_s": 1'))
        assert path.read_text() != before
        assert record in named(shared_copy)
    finally:
        path.write_text(before)


def test_two_swapped_scores_are_named(finished_copy):
    paths = [f"{SLUG}/quantizers/{q}/score/scores.parquet" for q in ("gptq-4", "rtn-4")]
    swap(*map(finished_copy.path, paths))
    assert set(paths) <= named(finished_copy)


def test_two_swapped_scores_are_named_with_forged_records(finished_copy):
    paths = [f"{SLUG}/quantizers/{q}/score/scores.parquet" for q in ("gptq-4", "rtn-4")]
    swap(*map(finished_copy.path, paths))
    for path in paths:
        forge(finished_copy, path)
    assert set(paths) <= named(finished_copy)


def test_two_exchanged_checkpoints_of_one_shape_are_named(finished_copy):
    paths = [f"results/training/smoke-6k/step{k}/model.safetensors" for k in (50, 60)]
    swap(*map(finished_copy.path, paths))
    for path in paths:
        forge(finished_copy, path)
    found = named(finished_copy)
    assert set(paths) <= found
    assert f"{SLUG}/resolve/resolved.json" in found


def test_an_edited_table_cell_is_named_with_the_right_value(finished_copy):
    path = finished_copy.path("results/smoke/bounds.csv")
    table = pd.read_csv(path)
    old = path.read_text().splitlines()[1].split(",")[list(table.columns).index("paper_bound")]
    path.write_text(path.read_text().replace(old, "1.234", 1))
    forge(finished_copy, "results/smoke/bounds.csv")
    listing = finished_copy.path("results/smoke/bounds.identity.json")
    content = json.loads(listing.read_text())
    content["files"][0]["sha256"] = file_sha256(path)
    listing.write_text(json.dumps(content))
    forge(finished_copy, "results/smoke/bounds.identity.json")
    found = findings_of(finished_copy, "results/smoke/bounds.csv")
    assert any(old in f.expected and "1.234" in f.found for f in found)


def replace_score(workspace, name, change):
    path = workspace.path(name)
    table = pq.read_table(path)
    column = table.schema.get_field_index("nll")
    pq.write_table(table.set_column(column, "nll", pa.array(change(table["nll"].to_numpy()))), path)


def test_a_better_score_is_named_although_record_and_bound_were_made_to_fit(finished_copy):
    """Whoever also makes the bound's recorded input fit is caught by the bound, which no longer follows from its scores."""
    name, bounds = f"{QUANTIZER}/score/scores.parquet", f"{QUANTIZER}/bound/bounds.json"
    replace_score(finished_copy, name, lambda nll: (nll * 0.5).astype(np.float32))
    forge(finished_copy, name)
    content = json.loads(finished_copy.path(bounds).read_text())
    content["identity"]["inputs"]["quantized_scores"]["sha256"] = file_sha256(finished_copy.path(name))
    finished_copy.path(bounds).write_text(json.dumps(content))
    forge(finished_copy, bounds)
    found = findings_of(finished_copy, bounds)
    assert any(f.path == bounds and "from its inputs" in f.expected for f in found)


def test_an_infinite_score_is_named(finished_copy):
    name = f"{QUANTIZER}/score/scores.parquet"
    replace_score(finished_copy, name, lambda nll: np.where(np.arange(len(nll)) == 7, np.inf, nll).astype(np.float32))
    forge(finished_copy, name)
    assert any(f.path == name and "finite" in f.expected for f in findings_of(finished_copy, name))


def test_a_changed_seed_in_the_configuration_is_named(finished_copy):
    path = finished_copy.path("results/smoke/config.json")
    content = json.loads(path.read_text())
    content["config"]["sampling"]["score"]["seed"] = 5
    path.write_text(json.dumps(content))
    forge(finished_copy, "results/smoke/config.json")
    found = findings(finished_copy)
    assert any(f.path == f"{SLUG}/sample/score/windows.parquet" and "seed = 5" in f.expected for f in found)


def test_windows_of_another_seed_are_named_although_everything_says_otherwise(finished_copy):
    """The tokens are those of the rows, identity and record fit: only drawing again shows it."""
    from scalebound.artifacts.parquet import identity_of, write_parquet
    from scalebound.artifacts.windows import row_digest, token_digest

    name = f"{SLUG}/sample/score/windows.parquet"
    path = finished_copy.path(name)
    table = pq.read_table(path)
    order = np.argsort(table["row"].to_numpy(), kind="stable")
    columns = [table["window"], table["row"].take(order), table["tokens"].take(order)]
    changed = pa.Table.from_arrays(columns, schema=table.schema)
    tokens = np.stack(changed["tokens"].to_numpy(zero_copy_only=False))
    write_parquet(path, changed, identity_of(table, path) | {"tokens_sha256": token_digest(tokens), "rows_sha256": row_digest(table["row"].take(order))})
    forge(finished_copy, name)
    assert any(f.path == name and "the rows of seed 101" in f.expected for f in findings_of(finished_copy, name))


@pytest.mark.parametrize("quantizer", [QUANTIZER, CODED])
def test_a_shorter_message_is_named_by_its_length(finished_copy, quantizer):
    name = f"{quantizer}/encode/code.json"
    content = json.loads(finished_copy.path(name).read_text())
    content["code_length_bits"] -= 100
    finished_copy.path(name).write_text(json.dumps(content))
    forge(finished_copy, name)
    assert any(f.path == name and f.expected.startswith("code_length_bits") for f in findings_of(finished_copy, name))


@pytest.mark.parametrize("attack", [attack for attack, (_, words) in ATTACKS.items() if words], ids=lambda attack: attack.__name__)
def test_a_forged_certificate_is_named(shared_copy, attack):
    kept = {path: path.read_bytes() for path in shared_copy.path(CERTIFICATE).iterdir()}
    assert findings_of_certificate(shared_copy) == []
    try:
        forge_certificate(shared_copy, attack)
        _, words = ATTACKS[attack]
        assert any(words in finding.expected for finding in findings_of_certificate(shared_copy)), findings_of_certificate(shared_copy)
    finally:
        for path, data in kept.items():
            path.write_bytes(data)


def test_every_attack_on_a_certificate_is_named_by_somebody():
    assert all(any(words) for words in ATTACKS.values())


def test_the_whole_audit_names_a_forged_certificate_and_the_table_made_from_it(finished_copy):
    forge_certificate(finished_copy, value_and_its_kin_lowered)
    found = findings(finished_copy, numbers=True)
    assert any(f.path == f"{CERTIFICATE}/certificate.json" and f.expected.startswith("values.betting") for f in found)
    assert any(f.path == "results/smoke/certificates.csv" and "from its inputs" in f.expected for f in found)


def test_an_edited_cell_of_the_certificates_is_named_with_the_right_value(finished_copy):
    name, listing = "results/smoke/certificates.csv", "results/smoke/certificates.identity.json"
    path = finished_copy.path(name)
    old = path.read_text().splitlines()[1].split(",")[list(pd.read_csv(path).columns).index("certificate")]
    path.write_text(path.read_text().replace(old, "1.234", 1))
    content = json.loads(finished_copy.path(listing).read_text())
    content["files"][0]["sha256"] = file_sha256(path)
    finished_copy.path(listing).write_text(json.dumps(content))
    for forged in (name, listing):
        forge(finished_copy, forged)
    found = [f for f in findings_of(finished_copy, name) if f.path == name]
    assert any(old in f.expected and "1.234" in f.found for f in found)


def test_nodes_that_do_not_follow_from_their_recurrence_are_named(finished_copy):
    """A smoother Hessian, with its run record made to fit."""
    name = f"{SLUG}/curvature/hessian.json"
    content = json.loads(finished_copy.path(name).read_text())
    content["probes"][0]["nodes"][-1] *= 0.5
    finished_copy.path(name).write_text(json.dumps(content))
    forge(finished_copy, name)
    found = findings_of(finished_copy, name)
    assert any(f.path == name and f.expected.startswith("nodes of probe 0") for f in found)


def test_a_hessian_said_to_be_skipped_is_named(finished_copy):
    name = f"{SLUG}/curvature/hessian.json"
    content = json.loads(finished_copy.path(name).read_text())
    finished_copy.path(name).write_text(json.dumps(content | {"status": "skipped: too large", "probes": []}))
    forge(finished_copy, name)
    assert any(f.path == name and f.expected.startswith("computed up to") for f in findings_of(finished_copy, name))


def test_an_edited_cell_of_the_studies_is_named_with_the_right_value(finished_copy):
    for table, column in (("quantizability", "increase"), ("spectra", "ratio"), ("hessian", "trace"), ("hessian_nodes", "weight")):
        name, listing = f"results/smoke/{table}.csv", f"results/smoke/{table}.identity.json"
        path = finished_copy.path(name)
        first = path.read_text().splitlines()[1].split(",")
        old = first[list(pd.read_csv(path).columns).index(column)]
        path.write_text(path.read_text().replace(old, "0.1234", 1))
        content = json.loads(finished_copy.path(listing).read_text())
        content["files"][0]["sha256"] = file_sha256(path)
        finished_copy.path(listing).write_text(json.dumps(content))
        for forged in (name, listing):
            forge(finished_copy, forged)
        found = [f for f in findings_of(finished_copy, name) if f.path == name]
        assert any(old in f.expected and "0.1234" in f.found for f in found), (table, found)


def test_a_figure_of_other_numbers_is_named(finished_copy):
    """Another figure's bytes under this figure's name, with its record forged."""
    name = "results/smoke/figures/terms.png"
    shutil.copy(finished_copy.path("results/smoke/figures/rates.png"), finished_copy.path(name))
    forge(finished_copy, name)
    assert name in named(finished_copy)


def test_a_redrawn_figure_is_named(finished_copy):
    """A pixel changed and saved again with the old identity: only drawing it again shows it."""
    from PIL import Image, PngImagePlugin

    name = "results/smoke/figures/terms.png"
    with Image.open(finished_copy.path(name)) as image:
        text, changed = image.text, image.copy()
    changed.putpixel((5, 5), (255, 0, 0, 255))
    metadata = PngImagePlugin.PngInfo()
    metadata.add_text("scalebound", text["scalebound"])
    changed.save(finished_copy.path(name), pnginfo=metadata)
    forge(finished_copy, name)
    assert any(f.path == name and f.expected == "the figure of its table" for f in findings_of(finished_copy, name))


def test_an_orphan_is_named(finished_copy):
    finished_copy.path(f"{SLUG}/score/notes.txt").write_text("mine")
    (found,) = findings(finished_copy)
    assert found.path == f"{SLUG}/score/notes.txt"


def test_results_of_older_code_are_listed_but_no_problem(finished_copy):
    name = f"{SLUG}/score/scores.parquet"
    from scalebound.artifacts.parquet import identity_of, write_parquet

    table = pq.read_table(finished_copy.path(name))
    write_parquet(finished_copy.path(name), table, identity_of(table, name) | {"code": "0" * 64})
    forge(finished_copy, name)
    outcome = audit(finished_copy.path("results"), workers=1, numbers=False)
    assert outcome.older == [name]
    # what was made from the replaced file says so: the digests differ
    assert all(name in f.expected for f in outcome.findings)


def test_the_command_lists_problems_and_exits_with_an_error(finished_copy):
    flip_byte(finished_copy.path(EXAMPLES["encode model.sbq"]))
    done = finished_copy.scalebound("audit", "results", "--hashes-only")
    assert done.returncode == 1
    for word in ("model.sbq", "expected", "found", "repair", "run snakemake again"):
        assert word in done.stdout
    assert "problems" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_copied_results_folder_is_audited_without_snakemake(finished, tmp_path):
    shutil.copytree(finished.path("results"), tmp_path / "results")
    done = finished.scalebound("audit", tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = pd.read_csv(tmp_path / "results/manifest.tsv", sep="\t")
    assert len(manifest) == len({name for job in expected_jobs(finished) for name in job.outputs})
    assert set(manifest["code"]) == {"current"}


def test_a_folder_that_is_no_results_folder_is_refused(finished, tmp_path):
    done = finished.scalebound("audit", tmp_path)
    assert done.returncode == 1
    assert "no family with a config.json" in done.stderr
