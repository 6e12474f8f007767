"""Random, tiny, valid configurations of every causal architecture that transformers knows.

Configurations call the same size by many names: each name gets a value here, in every part of a configuration that has a key of
that name, and values are drawn so that they fit together. What a single architecture wants beyond that is in `_MORE`.
"""

import zlib

import numpy as np
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY = 61
MODEL_TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def configuration(model_type, seed):
    """A random configuration of a model type, as the keywords of AutoConfig.for_model; the same for the same seed."""
    sizes = _sizes(np.random.default_rng([seed, zlib.crc32(model_type.encode())]))
    # its defaults are not always valid themselves; what has to differ is in _MORE then
    found = _tiny(_defaults(model_type), sizes)
    for name, value in _MORE.get(model_type, lambda _: {})(sizes).items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = {**found[name], **value} if isinstance(value, dict) and isinstance(found.get(name), dict) else value
    return found


def _defaults(model_type):
    config = AutoConfig.for_model(model_type)
    return {**config.to_dict(), **dict.fromkeys(type(config).attribute_map or {}), _ALIASES: type(config).attribute_map or {}}


_ALIASES = " aliases"  # a key that no configuration has


def _sizes(rng):
    """{key: value} for all keys that are sizes."""
    heads, width, layers = (int(rng.choice(choice)) for choice in ((2, 4), (4, 8), (2, 4)))
    hidden, inner, expert = heads * width, int(rng.choice((24, 32))), int(rng.choice((12, 16)))
    by_value = (
        (VOCABULARY, "vocab_size vocab_size_per_layer_input decoder_vocab_size shape_vocab_size pronunciation_vocab_size encoder_hash_byte_group_vocab"),
        (hidden, "hidden_size d_model n_embd dim_model emb_dim embedding_size attention_hidden_size lru_width word_embed_proj_dim embedding_dim"),
        (hidden, "input_embedding_size output_embedding_size backbone_hidden_size hidden_size_global shape_embed_dim pronunciation_embed_dim"),
        (inner, "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim n_inner ffn_hidden_size dim_ff dff d_inner feed_forward_size mlp_dim"),
        (inner, "shared_intermediate_size shared_expert_intermediate_size intermediate_size_mlp dense_intermediate_size expert_ffn_hidden_size"),
        (inner, "moe_shared_expert_intermediate_size"),
        (expert, "moe_intermediate_size shared_experts_intermediate_size"),
        (layers, "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_decoder_layers num_encoder_layers num_blocks"),
        (heads, "num_attention_heads n_head n_heads num_heads decoder_attention_heads encoder_attention_heads attention_heads num_query_groups"),
        (heads, "num_decoder_attention_heads num_encoder_attention_heads swa_num_attention_heads"),
        (int(rng.choice((1, 2))), "num_key_value_heads num_kv_heads swa_num_key_value_heads"),
        (width, "head_dim dim_head d_head attention_head_size attention_head_dim swa_head_dim kv_channels linear_head_dim"),
        # state-space heads, at twice the width of the model
        (2 * heads, "mamba_n_heads mamba_num_heads n_mamba_heads"),
        (width, "mamba_d_head mamba_head_dim mamba_headdim kv_lora_rank q_lora_rank o_lora_rank v_head_dim qk_nope_head_dim"),
        (int(rng.choice((4, 8))), "num_experts n_routed_experts num_local_experts moe_num_experts"),
        (2, "num_experts_per_tok num_experts_per_token moe_topk moe_k mamba_expand expand mamba_d_conv conv_kernel linear_conv_kernel_dim"),
        (2, "index_n_heads linear_num_key_heads linear_num_value_heads linear_num_heads n_groups mamba_n_groups mamba_ngroups mamba_dt_rank"),
        (2, "type_vocab_size zero_expert_num"),
        (1, "n_shared_experts num_shared_experts moe_num_shared_experts n_group topk_group num_expert_group"),
        (int(rng.choice((32, 48))), "max_position_embeddings n_positions n_ctx max_seq_len context_length max_target_positions model_max_length"),
        (48, "original_max_position_embeddings max_source_positions"),
        (8, "sliding_window sliding_window_size attention_window_size window_size attention_chunk_size local_attention index_topk"),
        (8, "local_attention_window_len hidden_size_per_layer_input chunk_size mamba_chunk_size image_size"),
        (4, "qk_rope_head_dim rotary_dim index_head_dim state_size mamba_d_state ssm_state_size laurel_rank adapter_rank linear_key_head_dim"),
        (4, "linear_value_head_dim router_hidden_size time_step_rank patch_size num_mel_bins gated_norm_rank hc_lowrank"),
        (0, "bos_token_id eos_token_id pad_token_id decoder_start_token_id forced_eos_token_id"),
        (True, "is_decoder"),
        (False, "use_mamba_kernels"),
        (0.3, "initializer_range init_std"),
    )
    return {name: value for value, names in by_value for name in names.split()}


def _tiny(defaults, sizes):
    """The sizes that a configuration has keys for, and the same of its parts."""
    aliases = defaults.get(_ALIASES, {})
    found = {name: value for name, value in sizes.items() if name in defaults and aliases.get(name) not in sizes}
    if "kv_lora_rank" in defaults:
        # all heads of latent attention have keys of their own, whose size is that of two parts
        found |= {"num_key_value_heads": sizes["num_attention_heads"]} if "num_key_value_heads" in defaults else {}
        found.pop("head_dim", None)
    if {"qk_head_dim", "qk_rope_head_dim"} <= defaults.keys():
        found["qk_head_dim"] = sizes["qk_rope_head_dim"] + sizes["qk_nope_head_dim"]
    for name, part in defaults.items():
        if name != _ALIASES and isinstance(part, dict) and "model_type" in part:
            found[name] = _tiny(part, sizes) | ({"model_type": part["model_type"]} if part["model_type"] else {})
    return found


def _twice_as_wide(sizes):
    return {"attention_hidden_size": 2 * sizes["hidden_size"], "attention_head_dim": 2 * sizes["head_dim"], "num_key_value_heads": sizes["num_attention_heads"]}


_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
_MORE = {
    # its attention counts four groups of heads
    "codegen": lambda s: {"n_head": 4, "n_embd": 16},
    "cohere_compass_text": lambda s: {"rope_parameters": dict.fromkeys(("full_attention", "sliding_attention"), _ROPE)},
    "dbrx": lambda s: {
        "attn_config": {"kv_n_heads": 1, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "diffllama": lambda s: {"num_key_value_heads": 2},
    "dots3_note": lambda s: {
        "vision_config": {"num_hidden_layers": 42, "adapter_in_dim": s["hidden_size"]},
        "audio_config": {"adapter_input_size": s["hidden_size"]},
    },
    # layers beyond these have hundreds of experts
    "dots3_note_text": lambda s: {"num_hidden_layers": 2},
    "falcon_h1": lambda s: {"mamba_d_ssm": 2 * s["hidden_size"]},
    "gemma3n_text": lambda s: {
        "num_kv_shared_layers": 0,
        "intermediate_size": [24] * s["num_hidden_layers"],
        "activation_sparsity_pattern": [0.0] * s["num_hidden_layers"],
    },
    "gpt_neo": lambda s: {"attention_types": [[["global", "local"], s["num_hidden_layers"] // 2]]},
    "lfm2_moe": lambda s: {"layer_types": ["conv", "full_attention"] * (s["num_hidden_layers"] // 2)},
    "longcat_flash": lambda s: {"head_dim": 4},
    "mamba2": lambda s: {"num_heads": 2 * s["num_attention_heads"]},
    "olmo": lambda s: {"clip_qkv": 1.0},
    "reformer": lambda s: {
        "axial_pos_embds_dim": [s["hidden_size"] // 4, s["hidden_size"] * 3 // 4],
        "axial_pos_shape": [4, 8],
        "max_position_embeddings": 32,
        "attn_layers": ["local", "local"],
        "local_attn_chunk_length": 8,
    },
    "xlstm": lambda s: {"qk_dim_factor": 1.0, "mlstm_round_up_to_multiple_of": 4, "ffn_round_up_to_multiple_of": 4, "head_dim": None},
    "xmod": lambda s: {"default_language": "en_XX"},
    # attention reads the state beside the embedding: twice the width
    "zamba": lambda s: {"num_hidden_layers": 5, "attn_layer_period": 2, "attn_layer_offset": 0, **_twice_as_wide(s)},
    "zamba2": lambda s: {
        "num_hidden_layers": 4,
        "layer_types": ["linear_attention", "hybrid"] * 2,
        "hybrid_layer_ids": [1, 3],
        **_twice_as_wide(s),
    },
    "zaya": lambda s: {"num_experts_per_tok": 1},
}
