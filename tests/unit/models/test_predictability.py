"""Every way in which a prediction can know more than the window's past is found, at every place where it can hide."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound.errors import InputError
from scalebound.models import loading, predictability
from scalebound.scoring import hindsight, scoring

CPU, LENGTH, VOCABULARY = torch.device("cpu"), 24, 61
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
LLAMA = {**SIZES, "num_key_value_heads": 1, "max_position_embeddings": 32}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, max_position_embeddings=64, initializer_range=0.2, use_cache=False)).eval()


def leaky(model, leak):
    """The model with embeddings [rows, positions, width] changed by `leak`, as a fault in any layer would change what comes after it."""
    model.get_input_embeddings().register_forward_hook(lambda module, ids, embedded: embedded + leak(embedded))
    return model


def only(places, wanted):
    """Added at these positions alone."""

    def leak(embedded):
        added = torch.zeros_like(embedded)
        added[:, places] = wanted(embedded)[:, places]
        return added

    return leak


def following(embedded):
    return embedded.roll(-1, dims=1)


def block_means(embedded):
    rows, length, width = embedded.shape
    return embedded.view(rows, length // 8, 8, width).mean(2, keepdim=True).expand(-1, -1, 8, -1).reshape(embedded.shape)


def chosen_by_capacity(embedded):
    """An expert that takes a third of the window's tokens: those that fit it best, of the whole window."""
    fit = embedded[..., 0]
    taken = fit >= fit.kthvalue(2 * fit.shape[1] // 3, dim=1, keepdim=True).values
    return embedded * taken[..., None]


LATER_TOKENS = {
    "the next token": only(slice(0, LENGTH - 1), following),
    "the next token, at the last position that has one": only([LENGTH - 2], following),
    "the next token, at the first position": only([0], following),
    "the whole of the first half, as a prefix": only(slice(0, LENGTH // 2), lambda e: e[:, : LENGTH // 2].mean(1, keepdim=True).expand(e.shape)),
    "the block of eight": block_means,
    "the mean of the window": lambda embedded: embedded.mean(1, keepdim=True),
    "who competes for an expert": chosen_by_capacity,
    "faintly, the mean of the window": lambda embedded: 0.02 * embedded.mean(1, keepdim=True),
}


def slope(embedded):
    """A vector that no norm takes out."""
    return torch.linspace(0, 1, embedded.shape[-1], dtype=embedded.dtype)


class Kept:
    """What was computed before plays a part in what is computed now."""

    def __init__(self):
        self.before = torch.zeros(())

    def __call__(self, embedded):
        self.before, before = self.before + embedded.std().float(), self.before
        return (before * slope(embedded)).expand(embedded.shape)


OTHER_THINGS = {
    "the mean of the batch": lambda embedded: embedded.mean((0, 1), keepdim=True),
    "the next window": lambda embedded: embedded.roll(-1, dims=0),
    "the window before": lambda embedded: embedded.roll(1, dims=0),
    "what was computed before": Kept(),
    "chance": lambda embedded: nn.functional.dropout(embedded, 0.1, training=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seen", [name for name in LATER_TOKENS if not name.startswith("faintly")])
def test_a_model_that_sees_later_tokens_is_refused(model, seen, dtype):
    with pytest.raises(InputError, match=r"its prediction at position \d+ of 24 changes by .* when tokens after position \d+ do"):
        predictability.check(leaky(model, LATER_TOKENS[seen]).to(dtype), LENGTH, "here")


@pytest.mark.parametrize(("dtype", "said"), [(torch.float32, False), (torch.bfloat16, True)])
def test_a_narrow_format_is_named_as_a_possible_cause(model, dtype, said):
    with pytest.raises(InputError) as error:
        predictability.check(leaky(model, LATER_TOKENS["the next token"]).to(dtype), LENGTH, "here")
    assert ("in float32" in error.value.remedy) == said


def test_a_leak_of_a_hundredth_is_refused(model):
    with pytest.raises(InputError, match=r"when tokens after position"):
        predictability.check(leaky(model, LATER_TOKENS["faintly, the mean of the window"]), LENGTH, "here")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seen", OTHER_THINGS)
def test_a_model_that_depends_on_more_than_its_window_is_refused(model, seen, dtype):
    with pytest.raises(InputError, match=r"its prediction at position"):
        predictability.check(leaky(model, OTHER_THINGS[seen]).to(dtype), LENGTH, "here")


def test_other_windows_are_named_where_later_tokens_play_no_part(model):
    with pytest.raises(InputError, match=r"with the other windows of its batch, or from one pass to the next"):
        predictability.check(leaky(model, OTHER_THINGS["the window before"]), LENGTH, "here")


def test_dropout_that_is_left_on_is_refused(model):
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.2
    predictability.check(model.eval(), LENGTH, "here")
    with pytest.raises(InputError, match=r"its prediction at position"):
        predictability.check(model.train(), LENGTH, "here")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_known_before_the_data_may_play_a_part(model, dtype):
    """The position, and the length of the window, which the stream fixes."""

    def place_and_length(embedded):
        places = torch.arange(embedded.shape[1], dtype=embedded.dtype)[:, None]
        return embedded[:, :1] + places / embedded.shape[1] * slope(embedded)

    found = predictability.check(leaky(model, place_and_length).to(dtype), LENGTH, "here")
    assert found == {"inputs": LENGTH, "positions": [0, 4, 8, 12, 19, 21, 22], "tolerance": predictability.TOLERANCE[dtype], "largest_change": 0.0}


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5, 64])
def test_windows_of_any_length_are_probed_at_their_ends(model, inputs):
    found = predictability.check(model, inputs, "here")
    assert found["positions"] == sorted(set(found["positions"]))
    assert {0, inputs - 2, inputs - 3} - {-1, -2} <= {0, *found["positions"]}
    assert max(found["positions"], default=-1) == inputs - 2


def test_tokens_that_move_between_experts_now_and_then_are_no_leak(model, monkeypatch):
    """A change that rounding brings about lies elsewhere in each draw; one of a thousand positions is changed by a lot."""
    passes, logits = [0], predictability._Passes.logits

    def rounded(self, *given, **options):
        passes[0] += 1
        found = logits(self, *given, **options).clone()
        found[(7 * passes[0]) % LENGTH, :5] += 3.0
        return found

    monkeypatch.setattr(predictability._Passes, "logits", rounded)
    assert predictability.check(model, LENGTH, "here")["largest_change"] <= 1e-3


def test_logits_that_are_not_finite_are_named(model):
    with torch.no_grad():
        model.get_output_embeddings().weight[3] = torch.nan
    with pytest.raises(InputError, match="its logits are not finite"):
        predictability.check(model, LENGTH, "here")


def test_entries_without_a_token_do_not_hide_a_leak(model):
    """Their logits are the least number that there is: by their spread, no change would be large."""
    model.get_output_embeddings().register_forward_hook(lambda module, given, found: found.index_fill(-1, torch.arange(50, 61), torch.finfo(found.dtype).min))
    predictability.check(model, LENGTH, "here")
    with pytest.raises(InputError, match=r"when tokens after position"):
        predictability.check(leaky(model, LATER_TOKENS["faintly, the mean of the window"]), LENGTH, "here")


def test_a_model_that_does_not_compute_is_one_message(model):
    model.get_input_embeddings().register_forward_hook(lambda module, ids, embedded: embedded[..., :-1])
    with pytest.raises(InputError, match=r"here: its forward pass fails: .*Give a model that transformers computes on windows of 24 tokens"):
        predictability.check(model, LENGTH, "here")


def test_probing_leaves_no_trace(model):
    """In the state of chance, and in what a later pass with gradients needs."""
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    predictability.check(model, LENGTH, "here")
    assert torch.equal(torch.rand(3), wanted)
    model(input_ids=torch.zeros(1, LENGTH, dtype=torch.long)).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


CHUNKED = {**LLAMA, "attention_chunk_size": 8, "num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 24, "head_dim": 8}
BY_LENGTH = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 8}
CAUSAL = {
    "bert as a decoder": ("bert", {**SIZES, "max_position_embeddings": 32, "is_decoder": True}, {}),
    "a sliding window": ("mistral", {**LLAMA, "sliding_window": 4}, {}),
    "chunks": ("llama4_text", CHUNKED, {}),
    "scaling by length": ("llama", {**LLAMA, "rope_parameters": BY_LENGTH}, {}),
    "a mixture": ("mixtral", {**LLAMA, "num_local_experts": 8, "num_experts_per_tok": 2}, {}),
}
NOT_CAUSAL = {
    "bert": ("bert", {**SIZES, "max_position_embeddings": 32}, {}),
    "bert that was a decoder": ("bert", {**SIZES, "max_position_embeddings": 32, "is_decoder": True}, {"is_decoder": False}),
    "a decoder without its mask": ("gpt_neox", {**SIZES, "max_position_embeddings": 32}, {"is_causal": False}),
    "llama without its mask": ("llama", LLAMA, {"is_causal": False}),
    "a sliding window to both sides": ("mistral", {**LLAMA, "sliding_window": 4}, {"is_causal": False}),
    "attention to both sides": ("gemma3_text", {**LLAMA, "head_dim": 8}, {"use_bidirectional_attention": True}),
    "a masked language model": ("electra", {**SIZES, "embedding_size": 16, "max_position_embeddings": 32}, {}),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_models_are_loaded(save_random, name):
    kind, settings, changes = CAUSAL[name]
    _, found = loading.load_folder(save_random(kind, changes, **settings), CPU, "float32", LENGTH)
    assert found["largest_change"] < 1e-5


@pytest.mark.parametrize("name", NOT_CAUSAL)
def test_a_configuration_that_switches_causality_off_is_refused(save_random, name):
    kind, settings, changes = NOT_CAUSAL[name]
    folder = save_random(kind, changes, **settings)
    with pytest.raises(InputError, match=r"when tokens after position \d+ do. No bound holds") as error:
        loading.load_folder(folder, CPU, "float32", LENGTH)
    assert error.value.where == str(folder)


def test_windows_that_are_too_long_are_named_before_anything_is_computed(save_random):
    folder = save_random("gpt2", vocab_size=VOCABULARY, n_embd=16, n_layer=1, n_head=2, n_positions=16)
    with pytest.raises(InputError, match=r"windows: 24 inputs, the model takes 16"):
        loading.load_folder(folder, CPU, "float32", LENGTH)


# -- the same question asked again by `verify`, with other code and of the numbers that are stated ----------------------


@pytest.fixture
def tokens():
    return np.random.default_rng(1).integers(0, VOCABULARY, (30, LENGTH + 1))


def hidden(model, tokens):
    scores = scoring.score(model, tokens, 8)
    return hindsight.largest_difference(model, tokens, scores.nll.astype(float), scores.entropy.astype(float), 8, 0, "again")


def test_losses_of_a_causal_model_stay_as_they_are(model, tokens):
    assert hidden(model, tokens) < 1e-5
    # windows without a later token, and no more windows than one
    assert hidden(model, tokens[:, :2]) == 0.0
    assert hidden(model, tokens[:1]) < 1e-5


@pytest.mark.parametrize("seen", [*LATER_TOKENS, "the mean of the batch", "the next window", "the window before", "what was computed before", "chance"])
def test_losses_made_with_hindsight_are_found_by_other_code(model, tokens, seen):
    assert hidden(leaky(model, (LATER_TOKENS | OTHER_THINGS)[seen]), tokens) > 0.004


def test_a_loss_that_is_not_a_number_is_a_difference(model, tokens):
    scores = scoring.score(model, tokens, 8)
    nll = scores.nll.astype(float)
    nll[2, 0] = np.nan
    assert np.isnan(hindsight.largest_difference(model, tokens, nll, scores.entropy.astype(float), 8, 0, "again"))


def test_the_scorer_shows_a_model_no_target(model, tokens, monkeypatch):
    """Neither as labels nor as the last input."""
    given = []
    forward = model.gpt_neox.forward
    monkeypatch.setattr(model.gpt_neox, "forward", lambda *places, **named: given.append((places, named)) or forward(*places, **named))
    scoring.score(model, tokens, 8)
    tensors = [[value for value in (*places, *named.values()) if isinstance(value, torch.Tensor)] for places, named in given]
    assert {len(shown) for shown in tensors} == {1}
    # after the passes on one window that look for the fast path, four batches
    assert np.array_equal(torch.cat([shown for (shown,) in tensors[-4:]]).numpy(), tokens[:, :-1])
    assert {shown.shape[1] for (shown,) in tensors} == {LENGTH}
