"""The archive of the smoke preset: what is in it, that its bytes follow from the results alone, and that it is verified anywhere."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile

import pytest
from crate_profile import CHECKS, CONTEXT, ids, of_type
from rocrate.rocrate import ROCrate

from scalebound import cli
from scalebound.artifacts import archive, checksums
from scalebound.audit import release, run

ARCHIVE = "results/scalebound-smoke.zip"
CERTIFICATE = "results/smoke/smoke-6k/quantizers/coded/certificate"
# the audit of the numbers takes longest, and says nothing that the archive holds
QUICK = "from scalebound.audit import release, run; release.audit = lambda results: run.audit(results, numbers=False); release.write('results', 'again.zip')"


@pytest.fixture(scope="module")
def unpacked(released, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(released.path(ARCHIVE)) as archived:
        archived.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def graph(unpacked):
    """{identifier: entity} of the crate."""
    return {entity["@id"]: entity for entity in json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]}


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files of this process."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def left_in(folder):
    """torch makes a folder for its compiler when it is imported, and keeps it."""
    return [path.name for path in folder.iterdir() if not path.name.startswith("torchinductor_")]


def verify(path, capsys, *options):
    """(exit status, what was printed) of the command, in this process."""
    status = cli.main(["verify", str(path), "--device", "cpu", *options])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return status, shown.out, shown.err


def test_what_is_in_it(unpacked, finished):
    there = names(unpacked)
    assert {"CITATION.cff", "LICENSE", "README.md", "SHA256SUMS", "ro-crate-metadata.json", "pyproject.toml"} <= there
    assert {"envs/requirements.txt", "config/smoke.yaml", "config/smoke.tsv", "workflow/Snakefile", "workflow/scalebound/cli.py"} <= there
    assert {"results/manifest.tsv", "results/audit.html", "results/smoke/bounds.csv", "results/smoke/config.json"} <= there
    certified = {f"{CERTIFICATE}/{name}" for name in names(finished.path(CERTIFICATE)) if not name.endswith(".log")}
    assert len(certified) > 7
    assert certified <= there
    figures = {f"results/smoke/figures/{name}" for name in names(finished.path("results/smoke/figures")) if not name.endswith(".log")}
    assert figures <= there
    assert {f"results/{name}" for name in names(finished.path("results")) if name.endswith("run.json")} <= there


def test_what_is_not_in_it(unpacked):
    certified = {name for name in names(unpacked) if "/certificate/" in name}
    assert not {name for name in names(unpacked) - certified if name.endswith((".safetensors", ".parquet", ".bin", ".whl", ".sbq", ".log"))}
    assert {name for name in names(unpacked) if name.endswith("/config.json")} == {"results/smoke/config.json"}


def test_every_file_is_listed_with_its_digest(unpacked, released):
    listed = checksums.read_sums((unpacked / "SHA256SUMS").read_bytes(), "here")
    assert listed == {name: hashlib.sha256((unpacked / name).read_bytes()).hexdigest() for name in names(unpacked) - {"SHA256SUMS"}}
    manifest = {line.split("\t")[0]: line.split("\t")[3] for line in (unpacked / "results/manifest.tsv").read_text().splitlines()[1:]}
    assert {name: manifest[name] for name in set(listed) & set(manifest)} == {name: listed[name] for name in set(listed) & set(manifest)}
    assert "results/training/smoke-6k/step60/model.safetensors" in set(manifest) - set(listed)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_profile(graph, check):
    check(graph, "workflow/Snakefile")


def test_the_crate_reads_back(unpacked):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(unpacked)
    assert crate.mainEntity.id == "workflow/Snakefile"
    assert json.loads((unpacked / "ro-crate-metadata.json").read_text())["@context"] == CONTEXT


def test_every_file_of_the_crate_is_in_the_archive_and_the_other_way_round(unpacked, graph):
    described = {entity["@id"]: entity for entity in of_type(graph, "File")}
    assert set(described) == set(ids(graph["./"], "hasPart")) == names(unpacked) - {"ro-crate-metadata.json", "SHA256SUMS"}
    for name, entity in described.items():
        assert entity["sha256"] == hashlib.sha256((unpacked / name).read_bytes()).hexdigest(), name
        assert entity["contentSize"] == str((unpacked / name).stat().st_size)


def test_what_was_left_out_is_described_with_its_digest_and_is_no_data_of_the_crate(unpacked, graph, finished):
    left = {entity["name"]: entity for identifier, entity in graph.items() if identifier.startswith("#left-out/")}
    assert {"results/training/smoke-6k/step60/model.safetensors", "results/streams/smoke-sources/rows/tokens.bin"} <= set(left)
    assert not set(left) & names(unpacked)
    for name, entity in left.items():
        assert entity["@type"] == "CreativeWork"
        assert entity["sha256"] == entity["identifier"] == hashlib.sha256(finished.path(name).read_bytes()).hexdigest()
    assert f"except {len(left)} of " in graph["./"]["description"]
    assert f"{len(left)} files of " in (unpacked / "README.md").read_text()


def test_the_readme_says_how_to_verify_and_names_each_certificate(unpacked):
    text = (unpacked / "README.md").read_text()
    assert "scalebound verify scalebound-smoke.zip" in text
    for slug in ("smoke-6k", "smoke-13k"):
        folder = f"results/smoke/{slug}/quantizers/coded/certificate"
        value = json.loads((unpacked / folder / "certificate.json").read_text())["value"]
        assert f"- `{folder}`: {value:.4f} nats per token for {slug}" in text


def test_nothing_names_the_folder_that_it_was_made_in(unpacked, released):
    """Records name the machine, as SECURITY.md says; what was made for the archive does not."""
    for name in ("README.md", "SHA256SUMS", "ro-crate-metadata.json", "results/manifest.tsv", "results/audit.html"):
        assert str(released.folder) not in (unpacked / name).read_text()


def test_the_same_results_give_the_same_bytes_elsewhere(released, tmp_path):
    """At another path, under another name, by another user with another umask, with times of their own and what an earlier call has left."""
    elsewhere = released.copy(tmp_path / "else where")
    place = elsewhere.path("results").rename(tmp_path / "run 7")
    elsewhere.path("results").symlink_to(place)
    for path in (*place.rglob("*"), *elsewhere.path("workflow").rglob("*")):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    code = f"import os; os.umask(0o077); {QUICK}"
    environment = {"PYTHONPATH": str(elsewhere.path("workflow")), "PATH": "/usr/bin:/bin", "TZ": "Asia/Tokyo"}
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert elsewhere.path("again.zip").read_bytes() == released.path(ARCHIVE).read_bytes()


def test_the_audit_takes_the_archive_for_no_orphan(released):
    assert run.audit(released.path("results"), numbers=False).findings == []


def test_results_that_do_not_pass_the_audit_are_refused(finished_copy, monkeypatch, capsys):
    monkeypatch.setattr(release, "audit", lambda results: run.audit(results, numbers=False))
    table = finished_copy.path("results/smoke/bounds.csv")
    table.write_text(table.read_text().replace("estimate", "certificate"))
    assert cli.main(["release", str(finished_copy.path("results"))]) == 1
    err = capsys.readouterr().err
    assert "problems in the audit, so no archive was made" in err
    assert "Traceback" not in err
    assert not list(finished_copy.path("results").glob("*.zip"))


def test_a_folder_that_is_none_is_refused(tmp_path, capsys):
    assert cli.main(["release", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_every_certificate_in_it_is_verified(released, capsys, temporary):
    status, out, _ = verify(released.path(ARCHIVE), capsys)
    assert status == 0
    for place, slug in enumerate(("smoke-13k", "smoke-6k"), start=1):
        assert f"{place} of 2  results/smoke/{slug}/quantizers/coded/certificate: " in out
    assert out.count(" nats per token, verified\n") == 2
    assert left_in(temporary) == []


def test_its_folder_is_verified_too_when_it_was_unpacked_otherwise(unpacked, capsys):
    status, out, _ = verify(unpacked, capsys)
    assert status == 0
    assert "as its SHA256SUMS says" in out
    (unpacked / "results/odd.txt").write_text("?")
    status, _, err = verify(unpacked, capsys)
    (unpacked / "results/odd.txt").unlink()
    assert status == 1
    assert "results/odd.txt is not listed" in err


def test_a_false_certificate_is_named_and_the_others_are_verified_all_the_same(unpacked, tmp_path, capsys, temporary):
    """Somebody who knows of the digests has made them fit."""
    path = unpacked / CERTIFICATE / "certificate.json"
    content = json.loads(path.read_text())
    (tmp_path / "false.json").write_text(json.dumps({**content, "value": content["value"] - 0.5}))
    files = {name: unpacked / name for name in names(unpacked) - {"SHA256SUMS"}} | {f"{CERTIFICATE}/certificate.json": tmp_path / "false.json"}
    archive.write(tmp_path / "false.zip", files)
    status, out, err = verify(tmp_path / "false.zip", capsys)
    assert status == 1
    assert "1 of 2  results/smoke/smoke-13k/quantizers/coded/certificate" in out
    assert out.count("nats per token, verified") == 1
    assert "\n  value: stated " in out
    assert "false.zip: 1 of 2 certificates do not hold as stated" in err
    assert left_in(temporary) == []


def test_a_file_that_no_reader_takes_is_named_by_its_place_in_the_archive(unpacked, tmp_path, capsys):
    (tmp_path / "none.json").write_text("{")
    files = {f"{CERTIFICATE}/{name}": unpacked / CERTIFICATE / name for name in names(unpacked / CERTIFICATE)}
    archive.write(tmp_path / "none.zip", files | {f"{CERTIFICATE}/certificate.json": tmp_path / "none.json"})
    status, out, _ = verify(tmp_path / "none.zip", capsys)
    assert status == 1
    assert f"\n  {CERTIFICATE}/certificate.json: not a JSON file" in out


@pytest.mark.parametrize("name", ["README.md", "SHA256SUMS", "ro-crate-metadata.json", "results/smoke/bounds.csv", f"{CERTIFICATE}/model.sbq"])
def test_a_flipped_byte_in_any_file_is_found(released, tmp_path, capsys, temporary, name):
    data = bytearray(released.path(ARCHIVE).read_bytes())
    with zipfile.ZipFile(released.path(ARCHIVE)) as archived:
        entry = archived.getinfo(name)
    data[entry.header_offset + 30 + len(name) + entry.file_size // 2] ^= 1
    (tmp_path / "flipped.zip").write_bytes(data)
    status, out, err = verify(tmp_path / "flipped.zip", capsys)
    assert (status, out) == (1, "")
    assert name in err
    assert err.count("\n") == 1
    assert left_in(temporary) == []
