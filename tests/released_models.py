"""Tiny models and rows in Pythia's layout, to be served by the test's own hub."""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

PADDED_VOCABULARY = 50304
ROW_TOKENS = 2049
ROWS_PER_STEP = 1024
OLD_BUFFERS = {
    "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
    "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9).half(),
    "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(1),
}


def checkpoint_files(folder, seed, form="sharded"):
    """{path: bytes} of one fp16 checkpoint: `sharded` safetensors with an index, one `single` file, or `bin` alone."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = GPTNeoXConfig(vocab_size=PADDED_VOCABULARY, max_position_embeddings=2048, rotary_pct=0.25, **sizes)
    model = GPTNeoXForCausalLM(config).half()
    folder = Path(folder)
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()} | OLD_BUFFERS
    {"sharded": _save_shards, "single": _save_single, "bin": _save_bin}[form](folder, tensors)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def stream_files(rows, seed, shards=3):
    """{path: bytes} of preshuffled rows: an index and shards of an odd size, so that rows cross their edges."""
    tokens = np.random.default_rng(seed).integers(0, 50277, size=(rows, ROW_TOKENS), dtype=np.uint16)
    joined, size = tokens.tobytes(), -(-tokens.nbytes // shards) | 1
    pieces = [joined[k * size : (k + 1) * size] for k in range(shards)]
    named = {f"document-{k:05d}-of-{shards - 1:05d}.bin": piece for k, piece in enumerate(pieces)}
    return named | {"document.idx": _index(rows)}, tokens


def _index(rows):
    header = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, rows, rows + 1)
    sizes, pointers = np.full(rows, ROW_TOKENS, dtype="<i4"), 2 * ROW_TOKENS * np.arange(rows, dtype="<i8")
    return header + sizes.tobytes() + pointers.tobytes() + np.arange(rows + 1, dtype="<i8").tobytes()


def _save_shards(folder, tensors):
    names = sorted(tensors)
    groups = [names[0::2], names[1::2]]
    index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in tensors.values())}, "weight_map": {}}
    for k, group in enumerate(groups, start=1):
        name = f"model-{k:05d}-of-00002.safetensors"
        save_file({key: tensors[key] for key in group}, folder / name, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(group, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _save_single(folder, tensors):
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _save_bin(folder, tensors):
    torch.save(tensors, folder / "pytorch_model.bin")
