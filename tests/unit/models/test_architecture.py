"""What is fixed before any data is seen: parameters, their uses, and an id that depends on nothing else."""

import hashlib
import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from scalebound.errors import InputError
from scalebound.models.architecture import architecture_id, describe

SIZES = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}
NEOX = {**SIZES, "intermediate_size": 24}
LLAMA = {**NEOX, "num_key_value_heads": 1}
OPT = {**SIZES, "ffn_dim": 24, "word_embed_proj_dim": 16}
STATE_SPACE = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 2}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()


@pytest.fixture
def configured(tmp_path):
    """(model type, settings) -> folder with that config.json and nothing else."""

    def write(name, **settings):
        AutoConfig.for_model(name, **settings).save_pretrained(tmp_path / name)
        return tmp_path / name

    return write


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def uses(described):
    return {p["name"]: p["use"] for p in described["parameters"]}


def test_gpt_neox_has_separate_embedding_and_head(configured):
    described = describe(configured("gpt_neox", **NEOX))
    found = uses(described)
    assert described["tied"] == {}
    assert found["gpt_neox.embed_in.weight"] == "embedding"
    assert found["lm_head.weight"] == "linear"
    assert found["gpt_neox.layers.1.attention.query_key_value.weight"] == "linear"
    assert found["gpt_neox.layers.1.attention.query_key_value.bias"] == "vector"
    assert found["gpt_neox.final_layer_norm.weight"] == "vector"


def test_gpt2_has_conv1d_weights_as_they_lie_and_one_tied_matrix(configured):
    described = describe(configured("gpt2", **SIZES, n_inner=24))
    found, shapes = uses(described), {p["name"]: p["shape"] for p in described["parameters"]}
    assert described["tied"] == {"lm_head.weight": "transformer.wte.weight"}
    assert found["transformer.wte.weight"] == "tied"
    assert found["transformer.wpe.weight"] == "embedding"
    assert found["transformer.h.0.mlp.c_fc.weight"] == "conv1d"
    assert shapes["transformer.h.0.mlp.c_fc.weight"] == [16, 24]
    assert "lm_head.weight" not in found


@pytest.mark.parametrize(("tie", "use"), [(True, "tied"), (False, "embedding")])
def test_tying_is_read_from_the_configuration(configured, tie, use):
    described = describe(configured("llama", **LLAMA, tie_word_embeddings=tie))
    assert uses(described)["model.embed_tokens.weight"] == use
    assert bool(described["tied"]) == tie
    assert ("lm_head.weight" in uses(described)) == (not tie)


def test_parameters_that_are_neither_matrix_of_a_layer_nor_vector_are_listed_as_other(configured):
    described = describe(configured("mamba", **STATE_SPACE))
    found, shapes = uses(described), {p["name"]: p["shape"] for p in described["parameters"]}
    assert found["backbone.layers.0.mixer.conv1d.weight"] == "other"
    assert shapes["backbone.layers.0.mixer.conv1d.weight"] == [32, 1, 4]
    assert found["backbone.layers.0.mixer.A_log"] == "other"
    assert found["backbone.layers.0.mixer.D"] == "vector"


@pytest.mark.parametrize(("name", "settings"), [("gpt_neox", NEOX), ("gpt2", SIZES), ("llama", LLAMA), ("opt", OPT), ("qwen2", LLAMA), ("mamba", STATE_SPACE)])
def test_the_list_is_that_of_the_real_model_in_its_order(configured, name, settings):
    folder = configured(name, **settings)
    described, model = describe(folder), AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    assert [(p["name"], tuple(p["shape"])) for p in described["parameters"]] == [(n, tuple(p.shape)) for n, p in model.named_parameters()]
    assert described["n_params"] == sum(p.numel() for p in model.parameters())
    assert described["vocab_size"] == 61
    assert set(uses(described)) | set(described["tied"]) == set(model.state_dict())


def test_weights_play_no_part(configured, tmp_path):
    folder = configured("gpt_neox", **NEOX)
    from_config = describe(folder)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(tmp_path / "weights")
    with_weights = describe(tmp_path / "weights")
    # saving a model adds its class to the configuration; parameters are the same
    assert with_weights["parameters"] == from_config["parameters"]
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"no weights at all")
    assert describe(tmp_path / "weights") == with_weights


def test_a_model_far_larger_than_memory_is_described(configured):
    described = describe(configured("gpt_neox", **{**NEOX, "vocab_size": 10**9, "hidden_size": 2**14}))
    assert described["vocab_size"] == 10**9
    assert described["n_params"] > 2 * 10**9 * 2**14


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"torch_dtype": "float16"}, {"transformers_version": "4.0.0"}, {"use_cache": False}])
def test_the_id_does_not_depend_on_what_saving_happens_to_note(configured, change):
    folder = configured("gpt_neox", **NEOX)
    before = describe(folder)
    assert describe(edit(folder, **change)) == before


def test_the_id_does_not_depend_on_the_folder_or_on_the_layout_of_the_file(configured, tmp_path):
    folder = configured("gpt_neox", **NEOX)
    (tmp_path / "elsewhere").mkdir()
    plain = json.loads((folder / "config.json").read_text())
    (tmp_path / "elsewhere" / "config.json").write_text(json.dumps(dict(reversed(plain.items()))))
    assert describe(tmp_path / "elsewhere") == describe(folder)


@pytest.mark.parametrize(
    "change", [{"hidden_act": "relu"}, {"layer_norm_eps": 1e-6}, {"max_position_embeddings": 32}, {"vocab_size": 62}, {"use_parallel_residual": False}]
)
def test_the_id_depends_on_everything_that_changes_the_function(configured, change):
    folder = configured("gpt_neox", **NEOX)
    before = describe(folder)["id"]
    assert describe(edit(folder, **change))["id"] != before


def test_the_id_is_the_digest_of_configuration_and_parameters_and_survives_json(configured):
    described = json.loads(json.dumps(describe(configured("gpt2", **SIZES))))
    text = json.dumps({"config": described["config"], "parameters": described["parameters"]}, sort_keys=True)
    assert described["id"] == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert described["id"] == architecture_id(described["config"], described["parameters"])


def test_the_id_depends_on_the_order_of_the_parameters():
    one, two = {"name": "a", "shape": [2], "use": "vector"}, {"name": "b", "shape": [2], "use": "vector"}
    assert architecture_id({}, [one, two]) != architecture_id({}, [two, one])


def test_the_described_configuration_describes_the_same_architecture(configured, tmp_path):
    for name, settings in {"gpt_neox": NEOX, "gpt2": SIZES, "opt": OPT}.items():
        described = describe(configured(name, **settings))
        again = tmp_path / f"{name}-again"
        again.mkdir()
        (again / "config.json").write_text(json.dumps(described["config"]))
        assert describe(again) == described


def test_a_model_with_a_stored_buffer_is_refused_by_name(configured):
    routed = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 1, "first_k_dense_replace": 0, "moe_intermediate_size": 8}
    heads = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4}
    with pytest.raises(InputError, match=r"stores the buffer .*e_score_correction_bias"):
        describe(configured("deepseek_v3", **{**NEOX, "num_key_value_heads": 2}, **routed, **heads))


def test_a_model_that_is_no_causal_language_model_is_refused(configured):
    with pytest.raises(InputError, match="Unrecognized configuration class") as error:
        describe(configured("vit", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24))
    assert error.value.where.endswith("config.json")


def test_a_model_whose_code_is_not_in_transformers_is_refused_and_not_run(configured, tmp_path):
    folder = edit(configured("gpt_neox", **NEOX), model_type="remote", auto_map={"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"})
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(InputError):
        describe(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe{", b"{}", b'{"model_type": "nonesuch"}', b'{"model_type": 3}'])
def test_a_configuration_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(InputError):
        describe(tmp_path)


def test_a_missing_folder_and_a_missing_configuration_are_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError):
            describe(folder)


@pytest.mark.parametrize(
    "change",
    [{"hidden_size": "wide"}, {"num_hidden_layers": None}, {"vocab_size": 1.5}, {"num_attention_heads": 3}, {"hidden_act": "none such"}],
    ids=str,
)
def test_a_value_that_no_model_can_have_is_refused(configured, change):
    with pytest.raises(InputError):
        describe(edit(configured("gpt_neox", **NEOX), **change))
