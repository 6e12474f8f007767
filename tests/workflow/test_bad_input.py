"""Bad input ends in one clear error, a non-zero exit, and nothing half-written."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from workspace import ROOT

ROW = "smoke-6k\tsmoke\ttrained\tsmoke-6k\tstep60\t60\t30720\tsmoke-sources\n"

CONFIG_CASES = {
    "misspelt key": ("sampling:\n", "samplling:\n", ["unknown key", "samplling"]),
    "misspelt nested key": ("    batch_rows: 8\n    steps: 60", "    batch_row: 8\n    steps: 60", ["unknown key", "training.smoke-6k.batch_row"]),
    "value out of range": ("    row_tokens: 65", "    row_tokens: 1", ["streams.smoke-sources.row_tokens", "found 1"]),
    "unknown family": ("families: [smoke]", "families: [smok]", ["'smok'", "Known families: smoke"]),
    "unknown quantizer": ("[rtn-4, gptq-4, coded]", "[rtn-5, gptq-4, coded]", ["rtn-5", "quantize_with"]),
    "no shell metacharacters": ("families: [smoke]", 'families: ["smoke; touch owned"]', ["families.0", "smoke; touch owned"]),
    "certificate of another quantizer": ("certificate:\n  quantizer: coded", "certificate:\n  quantizer: gptq-3", ["certificate.quantizer", "gptq-3"]),
    "coded without a draw to tune on": ("  tuning: {windows: 40, seed: 303}\n", "  tuning: null\n", ["sampling.tuning"]),
    "certificate without a draw": ("  certify: {windows: 128, seed: 404}\n", "  certify: null\n", ["sampling.certify"]),
    "one seed for tuning and certificate": ("seed: 404}", "seed: 303}", ["tuning.seed and certify.seed must differ"]),
    "one key twice": ("families: [smoke]", "families: [smoke]\nfamilies: [smoke]", ["config/smoke.yaml, line 3", "key 'families' occurs a second time"]),
    "octal number": ("document_seed: 7", "document_seed: 017", ["config/smoke.yaml, line 13", "017 is 15 to YAML"]),
    "empty section": ("certificate:\n  quantizer: coded\n  untuned: null\n", "certificate:\n", ["key `certificate`", "it is empty (null)"]),
    "one seed for both draws": ("seed: 202}", "seed: 101}", ["must differ"]),
}

TABLE_CASES = {
    "unknown column": ("slug\tfamily", "slug\tcolour\tfamily", ["unknown column 'colour'"]),
    "duplicate slug": (ROW, ROW + ROW, ["slug 'smoke-6k' occurs twice"]),
    "unknown run": ("trained\tsmoke-6k", "trained\tsmoke-7k", ["unknown training run 'smoke-7k'", "Known runs"]),
    "step that is not kept": ("step60\t60\t30720", "step59\t59\t30208", ["step 59 is not kept"]),
    "wrong token count": ("\t30720\t", "\t30721\t", ["tokens_seen 30721", "has seen 30720"]),
    "saved with semicolons": ("slug\tfamily\tsource\trepo\trevision\tstep\ttokens_seen\tstream", "slug;family;source", ["separated by semicolons"]),
    "path traversal in a slug": ("smoke-6k\tsmoke\t", "../smoke-6k\tsmoke\t", ["slug", "../smoke-6k"]),
}


def refused(done, fragments):
    """Exactly one message, no traceback."""
    text = done.stdout + done.stderr
    assert done.returncode != 0
    for fragment in fragments:
        assert fragment in text
    assert "Traceback" not in text


@pytest.mark.parametrize("case", CONFIG_CASES)
def test_configuration(workspace, case):
    old, new, fragments = CONFIG_CASES[case]
    workspace.edit("config/smoke.yaml", old, new)
    refused(workspace.snakemake(), fragments)
    assert not workspace.path("results").exists()
    assert not workspace.path("owned").exists()


@pytest.mark.parametrize("case", TABLE_CASES)
def test_table_of_checkpoints(workspace, case):
    old, new, fragments = TABLE_CASES[case]
    workspace.edit("config/smoke.tsv", old, new)
    refused(workspace.snakemake(), fragments)
    assert not workspace.path("results").exists()


def test_what_make_keeps_quiet_about_is_not_the_reason(workspace):
    makefile = (ROOT / "Makefile").read_text()
    quiet = next(line for line in makefile.splitlines() if line.startswith("QUIET := ")).split()[2:]
    workspace.edit("config/smoke.yaml", "families: [smoke]", "families: [smok]")
    refused(workspace.snakemake(*quiet), ["Known families: smoke"])


@pytest.mark.parametrize("preset", ["config/smoke.yaml", "config/config.yaml"])
def test_a_folder_without_a_configuration_is_told_where_to_run(workspace, tmp_path, preset):
    (tmp_path / "elsewhere").mkdir()
    refused(
        workspace.snakemake("--directory", str(tmp_path / "elsewhere"), config=preset),
        ["no config/config.yaml in it", "Run snakemake in the folder of the project"],
    )
    assert not (tmp_path / "elsewhere/results").exists()


def test_wrong_pin_of_the_tokenizer(finished_copy):
    finished_copy.edit("config/smoke.yaml", "f1de3926e1900e17b54e5c98fc366a473e8020230a9613b578b75b5b3260b534", "0" * 64)
    target = finished_copy.path("results/streams/smoke-sources/tokenizer.json")
    refused(finished_copy.snakemake("results/streams/smoke-sources/tokenizer.json"), ["the configuration pins 000000", "tokenizer.json"])
    assert not target.exists()


def test_wrong_pin_of_the_stream(finished_copy):
    finished_copy.edit("config/smoke.yaml", "48b9b16d4635395b7aa1c93691269e0ecfcc802c0fb0302632d5af23f7da1548", "0" * 64)
    refused(finished_copy.snakemake("results/streams/smoke-sources/rows/tokens.bin"), ["pinned 000000", "tokens.bin"])
    assert not list(finished_copy.path("results/streams/smoke-sources/rows").glob("*tokens*"))


def test_altered_wheel(finished_copy):
    wheel = finished_copy.path("results/streams/smoke-sources/wheels/networkx-3.6.1-py3-none-any.whl")
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    folder = wheel.parent
    settings = finished_copy.settings_of_stream()
    refused(finished_copy.scalebound("fetch-corpus", "--settings", settings, "--folder", folder), ["sha256", "pinned", wheel.name])


def test_checkpoint_with_nan(finished_copy):
    weights = finished_copy.path("results/training/smoke-6k/step60/model.safetensors")
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    tensors[name].reshape(-1)[0] = np.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    out = finished_copy.path("results/smoke/smoke-6k/resolve")
    for file in out.glob("*.json"):
        file.unlink()
    refused(finished_copy.snakemake("results/smoke/smoke-6k/resolve/resolved.json"), ["NaN or infinity", name, "model.safetensors"])
    assert not list(out.glob("*resolved*"))


def test_altered_checkpoint_is_not_scored(finished_copy):
    weights = finished_copy.path("results/training/smoke-6k/step60/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    out = finished_copy.path("out.parquet")
    done = finished_copy.scalebound(
        *("score", "--settings", "{}", "--model", "results/smoke/smoke-6k/resolve/resolved.json"),
        *("--windows", "results/smoke/smoke-6k/sample/score/windows.parquet", "--out", out),
    )
    refused(done, ["sha256", "altered", "step60/model.safetensors"])
    assert not out.exists()


def test_truncated_parquet(finished_copy):
    windows = finished_copy.path("results/smoke/smoke-6k/sample/score/windows.parquet")
    windows.write_bytes(windows.read_bytes()[:-100])
    out = finished_copy.path("out.parquet")
    done = finished_copy.scalebound("score", "--settings", "{}", "--model", "results/smoke/smoke-6k/resolve/resolved.json", "--windows", windows, "--out", out)
    refused(done, ["windows.parquet", "not a readable parquet file"])
    assert not out.exists()


def test_truncated_message(finished_copy):
    folder = finished_copy.path("results/smoke/smoke-6k/quantizers/gptq-4/encode")
    short = finished_copy.path("short.sbq")
    short.write_bytes((folder / "model.sbq").read_bytes()[:-1])
    done = finished_copy.scalebound(
        "decode", "--message", short, "--architecture", "results/smoke/smoke-6k/resolve/architecture.json", "--out", finished_copy.path("out")
    )
    refused(done, ["short.sbq", "truncated or altered"])
    assert not finished_copy.path("out").exists()


def test_windows_of_another_vocabulary(finished_copy):
    """A model with fewer output tokens than the stream has: refused before a token is scored."""
    import json

    resolved = finished_copy.path("results/smoke/smoke-6k/resolve/resolved.json")
    description = json.loads(resolved.read_text())
    description["vocab_size"] = 299
    resolved.write_text(json.dumps(description))
    out = finished_copy.path("out.parquet")
    done = finished_copy.scalebound(
        *("score", "--settings", "{}", "--model", resolved, "--windows", "results/smoke/smoke-6k/sample/score/windows.parquet", "--out", out)
    )
    refused(done, ["vocabulary of 300", "model output of 299"])
    assert not out.exists()


def test_unknown_command_prints_the_commands(workspace):
    done = workspace.scalebound("scoore")
    assert done.returncode == 2
    assert "scoore" in done.stderr
    assert "Traceback" not in done.stderr
