"""Scoring beside the bare forward pass, in Pythia's shapes with random weights.

The statistics of a token are its loss and the entropy over the vocabulary; beside a reference also the largest difference of the two
distributions. Everything runs on the same hidden states, in turns: the product with the head alone (what a forward pass has to do
anyway), our statistics, transformers' own loss of each token, and what is straightforward: all probabilities, their full sort, and
a loop over the tokens.
"""

import time

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from scalebound.benchmarks.lines import Line, fastest
from scalebound.models import files
from scalebound.models.loading import DTYPES
from scalebound.scoring import beside_reference, scoring

# hidden size, layers, heads, output width: the published configurations
SHAPES = {
    "14m": (128, 6, 4, 50304),
    "70m": (512, 6, 8, 50304),
    "160m": (768, 12, 12, 50304),
    "410m": (1024, 24, 16, 50304),
    "1b": (2048, 16, 8, 50304),
    "1.4b": (2048, 24, 16, 50304),
    "2.8b": (2560, 32, 32, 50304),
    "6.9b": (4096, 32, 32, 50432),
    "12b": (5120, 36, 40, 50688),
}
INPUTS = 2048
ALPHAS = (0.01, 0.02, 0.04, 0.08)
SORTED = 64  # tokens of the straightforward way, which takes milliseconds for each
SHARE_OF_FORWARD = {"cpu": 0.10, "cuda": 0.05}


@torch.inference_mode()
def measure(shape, dtype, device, windows, repetitions):
    """The Lines of one shape on a torch device."""
    model = random_model(shape, DTYPES[dtype], device)
    tokens = np.random.default_rng(0).integers(0, SHAPES[shape][3], size=(windows, INPUTS + 1))
    where = f"{shape}, {dtype}, {files.device_name(device)}"
    ids = torch.as_tensor(tokens, device=device)
    head, states = model.get_output_embeddings(), model.base_model(input_ids=ids[:1, :-1]).last_hidden_state.flatten(0, 1)
    finish = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    works = {**_passes(model, ids), **_statistics(head, states, ids[0, 1:])}
    # on a CPU what the process used, so that what else the machine does is in no ratio
    seconds = fastest(works, repetitions, finish, time.perf_counter if device.type == "cuda" else time.process_time)
    forward = seconds["body"] / windows + seconds["head"]
    # of one window more: what a call does once, whatever it scores, is in both
    more = [(seconds[name] - seconds[f"{name}, one window"]) / (windows - 1) for name in ("scoring", "scoring beside a reference")]
    for name, taken in zip(("forward pass", "scoring", "scoring beside a reference"), (forward, *more)):
        yield Line(f"{name} ({where})", INPUTS / taken, "tokens/s")
    own, beside = max(0.0, seconds["ours"] - seconds["head"]), max(0.0, seconds["pairs"] - 2 * seconds["head"])
    straightforward = seconds["straightforward"] * INPUTS / SORTED
    yield Line(f"statistics / forward pass ({where})", own / forward, "", f"<= {SHARE_OF_FORWARD[device.type]}")
    yield Line(f"statistics beside a reference / two forward passes ({where})", beside / forward / 2, "")
    yield Line(f"statistics / transformers' own token loss ({where})", own / max(1e-9, seconds["own loss"] - seconds["head"]), "")
    yield Line(f"statistics / the straightforward way ({where})", own / straightforward, "", "<= 0.125")
    if device.type == "cuda":
        yield from _memory(model, ids, tokens, where)


def _passes(model, ids):
    tokens = ids.cpu().numpy()
    found = {"body": lambda: [model.base_model(input_ids=window[None, :-1]) for window in ids]}
    for name, some in (("", tokens), (", one window", tokens[:1])):
        found[f"scoring{name}"] = lambda some=some: scoring.score(model, some, 1, "bench")
        found[f"scoring beside a reference{name}"] = lambda some=some: beside_reference.score(model, [(range(len(some)), model)], some, ALPHAS, 1, "bench")
    return found


def _statistics(head, states, targets):
    chunk = 2048
    some = max(beside_reference.LEAST_CHUNK, beside_reference.CHUNK_BYTES[states.device.type] // (4 * len(head.weight)))

    def product():
        for start in range(0, len(head.weight), chunk):
            scoring._logits(states, head.weight[start : start + chunk])

    def pairs():
        for start in range(0, len(states), some):
            logits = [scoring._logits(states[start : start + some], head.weight) for _ in range(2)]
            list(beside_reference.statistics_in_blocks(*logits, targets[start : start + some], ALPHAS))

    def own_loss():
        cross_entropy(head(states).float(), targets, reduction="none")

    def straightforward():
        for state, target in zip(states[:SORTED], targets[:SORTED]):
            share = head(state).float().softmax(-1)
            ordered, _ = share.sort(descending=True)
            (-share[target].log()).item(), (-(ordered * ordered.clamp(min=1e-30).log()).sum()).item()

    return {
        "head": product,
        "ours": lambda: scoring.statistics_of(states, head, targets),
        "pairs": pairs,
        "own loss": own_loss,
        "straightforward": straightforward,
    }


def _memory(model, ids, tokens, where):
    weights, peaks = torch.cuda.memory_allocated(), []
    for work in (lambda: model.base_model(input_ids=ids[: scoring.batch_windows(model, INPUTS), :-1]), lambda: scoring.score(model, tokens)):
        torch.cuda.reset_peak_memory_stats()
        work()
        peaks.append(torch.cuda.max_memory_allocated() - weights)
    yield Line(f"memory of scoring / that of a forward pass, weights apart ({where})", peaks[1] / peaks[0], "", "<= 1.2")


def random_model(shape, dtype, device):
    """A GPT-NeoX model of one of SHAPES with weights from a fixed seed."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    hidden, layers, heads, vocabulary = SHAPES[shape]
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * hidden}
    config = GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=INPUTS, rotary_pct=0.25, use_cache=False, **sizes)
    with torch.device("meta"):
        model = GPTNeoXForCausalLM(config)
    model = model.to(dtype).to_empty(device=device).eval()
    generator = torch.Generator(device=device).manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    # the buffers of the rotary embedding were empty as well
    model.gpt_neox.rotary_emb = type(model.gpt_neox.rotary_emb)(config).to(device)
    return model
