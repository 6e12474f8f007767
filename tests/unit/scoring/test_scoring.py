"""Scores of windows: the right loss at every position, whatever the model, the batch and the way of computing it."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from scalebound.errors import InputError
from scalebound.models import predictability
from scalebound.scoring import scoring

VOCABULARY, LENGTH = 61, 13
# weights of standard deviation 0.3, so that logits differ by several nats
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}
TOKENS = {"bos_token_id": 0, "eos_token_id": 0}
FAMILIES = {
    "gpt_neox": {"intermediate_size": 24, "initializer_range": 0.3},
    "gpt2": {"n_inner": 24, "initializer_range": 0.3},
    "llama": {"intermediate_size": 24, "num_key_value_heads": 1, "initializer_range": 0.3},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16, "init_std": 0.3},
    "qwen2": {"intermediate_size": 24, "num_key_value_heads": 1, "tie_word_embeddings": True, "initializer_range": 0.3},
}
CAPPED = {"intermediate_size": 24, "num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3, "final_logit_softcapping": 1.5}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def random_model(name, **settings):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **SIZES, **TOKENS, **settings)).eval()


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def model(request):
    return random_model(request.param, **FAMILIES[request.param])


@pytest.fixture
def neox():
    return random_model("gpt_neox", **FAMILIES["gpt_neox"])


@pytest.fixture
def capped():
    return random_model("gemma2", **CAPPED)


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, VOCABULARY, (7, LENGTH))


class Bigram(nn.Module):
    """p(next | token) is row `token` of a table: the hidden state is the token, one-hot, the head holds the logarithms.

    With `cap`, the logits are what gives the table's logarithms after soft-capping: more than head(hidden).
    """

    def __init__(self, table, cap=None):
        super().__init__()
        logits = torch.log(torch.as_tensor(table, dtype=torch.float32))
        self.embed = nn.Embedding.from_pretrained(torch.eye(len(logits)))
        self.head = nn.Linear(*logits.T.shape, bias=False)
        self.head.weight = nn.Parameter((logits if cap is None else cap * torch.atanh(logits / cap)).T.contiguous())
        self.cap, self.device, self.dtype = cap, torch.device("cpu"), torch.float32
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(hidden_size=len(logits), max_position_embeddings=8))
        self.calls = []

    def base_model(self, input_ids):
        self.calls.append(len(input_ids))
        return SimpleNamespace(last_hidden_state=self.embed(input_ids))

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids):
        logits = self.head(self.base_model(input_ids).last_hidden_state)
        return SimpleNamespace(logits=logits if self.cap is None else self.cap * torch.tanh(logits / self.cap))


TABLE = [[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.2, 0.3, 0.5]]
# entropies of the rows of TABLE, in nats
ENTROPY = [1.5 * math.log(2), 0.25 * math.log(8) - 0.75 * math.log(0.75), -0.2 * math.log(0.2) - 0.3 * math.log(0.3) - 0.5 * math.log(0.5)]
WINDOWS = np.array([[0, 1, 2, 1], [2, 2, 0, 0], [1, 1, 0, 2], [0, 0, 1, 1], [2, 1, 0, 1]])
# p(next | token) of every pair of neighbours in WINDOWS, read off TABLE
PROBABILITIES = [[0.25, 0.125, 0.3], [0.5, 0.2, 0.5], [0.75, 0.125, 0.25], [0.5, 0.25, 0.75], [0.3, 0.125, 0.25]]


@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("size", [None, 1, 2, 3, 5, 9])
def test_every_target_is_scored_once_with_the_known_probability_of_its_place(cap, size):
    scores = scoring.score(Bigram(TABLE, cap), WINDOWS, size)
    assert scores.nll.dtype == scores.entropy.dtype == np.float32
    np.testing.assert_allclose(scores.nll, -np.log(PROBABILITIES), rtol=1e-6)
    np.testing.assert_allclose(scores.entropy, np.array(ENTROPY)[WINDOWS[:, :-1]], rtol=1e-6)


def test_the_batch_is_as_many_windows_as_asked_for():
    model = Bigram(TABLE)
    scoring.score(model, WINDOWS, 2)
    # two probes of the first window, then batches of 2, 2 and 1
    assert model.calls == [1, 1, 2, 2, 1]


def test_every_target_is_scored_once_when_memory_runs_out_in_between(monkeypatch):
    score_batch, sizes, done = scoring._score_batch, [], []

    def small_memory(model, head, batch):
        sizes.append(len(batch))
        if len(batch) > (1 if done else 2):
            raise torch.cuda.OutOfMemoryError
        done.append(batch)
        return score_batch(model, head, batch)

    monkeypatch.setattr(scoring, "_score_batch", small_memory)
    scores = scoring.score(Bigram(TABLE), WINDOWS, 5)
    assert sizes == [5, 3, 2, 2, 1, 1, 1]
    np.testing.assert_allclose(scores.nll, -np.log(PROBABILITIES), rtol=1e-6)


def test_one_window_that_does_not_fit_into_memory_is_an_input_error(monkeypatch):
    def no_memory(*_):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(scoring, "_score_batch", no_memory)
    with pytest.raises(InputError, match="one window does not fit"):
        scoring.score(Bigram(TABLE), WINDOWS, 4)


def test_mean_loss_is_the_one_that_transformers_computes(model, tokens):
    batch = torch.from_numpy(tokens)
    with torch.no_grad():
        expected = float(model(input_ids=batch, labels=batch).loss)
    assert float(scoring.score(model, tokens).nll.mean(dtype=np.float64)) == pytest.approx(expected, abs=1e-5)


def direct(model, tokens):
    """(nll, entropy) of all targets in float64, from the logits of one forward pass."""
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=torch.from_numpy(tokens[:, :-1])).logits.double(), -1).numpy()
    return -np.take_along_axis(logp, tokens[:, 1:, None], 2)[..., 0], -(np.exp(logp) * logp).sum(-1)


def test_loss_and_entropy_equal_a_direct_computation_in_float64(model, tokens):
    scores, (nll, entropy) = scoring.score(model, tokens), direct(model, tokens)
    np.testing.assert_allclose(scores.nll, nll, atol=1e-5)
    np.testing.assert_allclose(scores.entropy, entropy, atol=1e-5)
    assert entropy.max() - entropy.min() > 0.1  # the comparison could tell positions apart


@pytest.mark.parametrize("size", [1, 2, 5, 7, 100])
def test_results_do_not_depend_on_the_batch(model, tokens, size):
    whole, parts = scoring.score(model, tokens), scoring.score(model, tokens, size)
    np.testing.assert_allclose(parts.nll, whole.nll, atol=1e-5)
    np.testing.assert_allclose(parts.entropy, whole.entropy, atol=1e-5)


def test_a_longer_window_does_not_change_the_scores_before_it(model, tokens):
    np.testing.assert_allclose(scoring.score(model, tokens).nll[:, :5], scoring.score(model, tokens[:, :6]).nll, atol=1e-5)


def test_the_head_of_every_family_is_applied_to_hidden_states_directly(model, tokens):
    assert scoring.separable_head(model, tokens) is model.get_output_embeddings()


def test_soft_capped_logits_take_the_other_way_and_agree_with_a_direct_computation(capped, tokens):
    with torch.inference_mode():
        assert scoring.separable_head(capped, tokens) is None
    scores, (nll, entropy) = scoring.score(capped, tokens), direct(capped, tokens)
    np.testing.assert_allclose(scores.nll, nll, atol=1e-5)
    np.testing.assert_allclose(scores.entropy, entropy, atol=1e-5)
    with torch.no_grad():
        states = capped.base_model(input_ids=torch.from_numpy(tokens[:, :-1])).last_hidden_state
        uncapped = torch.nn.functional.cross_entropy(capped.lm_head(states).flatten(0, 1), torch.from_numpy(tokens[:, 1:]).flatten())
    assert abs(float(uncapped) - nll.mean()) > 0.01  # the other way would have been wrong


def test_no_more_tokens_of_whole_logits_are_turned_into_statistics_at_once_than_the_limit_allows(capped, tokens, monkeypatch):
    sizes, expected, statistics = [], scoring.score(capped, tokens), scoring.token_statistics

    def recording(logits, targets):
        sizes.append(len(logits))
        return statistics(logits, targets)

    monkeypatch.setattr(scoring, "token_statistics", recording)
    monkeypatch.setattr(scoring, "LOGIT_BYTES", {"cpu": 4 * VOCABULARY * 5 + 3})
    scores = scoring.score(capped, tokens)
    assert max(sizes) == 5
    assert sum(sizes) == tokens[:, 1:].size
    np.testing.assert_allclose(scores.nll, expected.nll, atol=1e-5)
    np.testing.assert_allclose(scores.entropy, expected.entropy, atol=1e-5)


def test_logits_of_a_batch_never_exist_at_once(neox, tokens, monkeypatch):
    sizes, expected, logits = [], scoring.score(neox, tokens), scoring._logits

    def recording(states, weight):
        sizes.append((len(states), len(weight)))
        return logits(states, weight)

    monkeypatch.setattr(scoring, "_logits", recording)
    # in blocks of tokens, an eighth of the limit at once
    monkeypatch.setattr(scoring, "LOGIT_BYTES", {"cpu": 8 * 4 * 50 * 5})
    monkeypatch.setattr(scoring, "BLOCK_TOKENS", 50)
    scores = scoring.score(neox, tokens)
    blocks = [50] * (tokens[:, 1:].size // 50) + [tokens[:, 1:].size % 50]
    assert sizes == [(block, min(5, VOCABULARY - start)) for block in blocks for start in range(0, VOCABULARY, 5)]
    np.testing.assert_allclose(scores.nll, expected.nll, atol=1e-5)
    np.testing.assert_allclose(scores.entropy, expected.entropy, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("biased", [False, True])
def test_one_pass_over_the_vocabulary_gives_the_statistics_of_all_logits(chunk, scale, biased):
    rng = torch.Generator().manual_seed(3)
    states, weight = torch.randn(50, 8, generator=rng), scale * torch.randn(100, 8, generator=rng)
    bias = torch.randn(100, generator=rng) if biased else None
    targets = torch.randint(0, 100, (50,), generator=rng)
    logits = states.double() @ weight.double().T + (0 if bias is None else bias.double())
    logp = torch.log_softmax(logits, -1)
    nll, entropy = scoring.head_statistics(states, weight, bias, targets, chunk)
    np.testing.assert_allclose(nll, -logp.gather(-1, targets[:, None])[:, 0], atol=3e-4, rtol=1e-5)
    np.testing.assert_allclose(entropy, -(logp.exp() * logp).sum(-1), atol=3e-4, rtol=1e-5)


def test_logits_of_bfloat16_weights_are_not_rounded_to_bfloat16():
    rng = torch.Generator().manual_seed(3)
    states, weight = (torch.randn(20, 64, generator=rng).bfloat16() for _ in range(2))
    nll, _ = scoring.head_statistics(states, weight, None, torch.arange(20), 5)
    exact = -torch.log_softmax(states.double() @ weight.double().T, -1)[torch.arange(20), torch.arange(20)]
    np.testing.assert_allclose(nll, exact, atol=2e-5)


@needs_cuda
def test_logits_on_cuda_keep_float32_sums_of_bfloat16_weights():
    rng = torch.Generator().manual_seed(3)
    states, weight = (torch.randn(32, 64, generator=rng).bfloat16() for _ in range(2))
    found = scoring._logits(states.cuda(), weight.cuda()).cpu()
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, states.double() @ weight.double().T, atol=1e-4)


def test_a_limit_below_one_token_scores_token_by_token(neox, tokens, monkeypatch):
    expected = scoring.score(neox, tokens[:2]).nll
    monkeypatch.setattr(scoring, "LOGIT_BYTES", {"cpu": 1})
    np.testing.assert_allclose(scoring.score(neox, tokens[:2]).nll, expected, atol=1e-5)


def test_statistics_of_a_certain_token_are_zero_and_finite():
    logits = torch.tensor([[0.0, -torch.inf, -torch.inf], [200.0, -200.0, 0.0]])
    nll, entropy = scoring.token_statistics(logits, torch.tensor([0, 0]))
    assert nll.tolist() == entropy.tolist() == [0, 0]


def test_statistics_of_equal_logits_are_the_logarithm_of_the_vocabulary():
    nll, entropy = scoring.token_statistics(torch.full((2, 1000), 7.0, dtype=torch.bfloat16), torch.tensor([3, 999]))
    np.testing.assert_allclose(torch.stack([nll, entropy]), math.log(1000), rtol=1e-6)


def test_bfloat16_weights_give_finite_float32_statistics_close_to_those_of_float32(model, tokens):
    expected, scores = scoring.score(model, tokens), scoring.score(copy.deepcopy(model).bfloat16(), tokens)
    for found, wanted in ((scores.nll, expected.nll), (scores.entropy, expected.entropy)):
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert not np.array_equal(found, wanted)
        assert np.abs(found - wanted).max() < 0.3
        assert abs(found.mean() - wanted.mean()) < 0.02


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("cap", [None, 3.0])
def test_a_weight_that_is_nan_is_refused_with_the_first_place_it_shows_at(cap, size):
    model = Bigram(TABLE, cap)
    model.embed.weight[2] = torch.nan
    windows = WINDOWS[[3, 2, 0]]  # token 2 is first an input in the third window, at its third position
    with pytest.raises(InputError, match="not finite at window 2, position 2"):
        scoring.score(model, windows, size)


def test_a_nan_in_a_transformer_names_the_window(neox, tokens):
    neox.get_input_embeddings().weight.data[60] = torch.nan
    windows = np.where(tokens == 60, 59, tokens)
    windows[4, 6] = 60
    with pytest.raises(InputError, match="not finite at window 4, position"):
        scoring.score(neox, windows, 3)
    # as the last target it is never an input
    windows[4, 6], windows[4, -1] = 59, 60
    assert np.isfinite(scoring.score(neox, windows, 3).nll).all()


@pytest.mark.parametrize("token", [-1, VOCABULARY, 2**40])
@pytest.mark.parametrize("place", [(0, 0), (6, LENGTH - 1)])
def test_ids_outside_the_vocabulary_are_refused(neox, tokens, token, place):
    windows = tokens.copy()
    windows[place] = token
    with pytest.raises(InputError, match=f"token ids .*{token}.* vocabulary has {VOCABULARY}"):
        scoring.score(neox, windows)


def test_the_largest_id_and_the_longest_window_are_scored(neox):
    windows = np.full((1, 17), VOCABULARY - 1)
    assert scoring.score(neox, windows).nll.shape == (1, 16)


def test_windows_that_are_too_long_are_refused(model):
    with pytest.raises(InputError, match="17 inputs, the model takes 16"):
        scoring.score(model, np.zeros((1, 18), dtype=np.int64))


SHORT = {**TOKENS, "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}
MPT = {**TOKENS, "vocab_size": VOCABULARY, "d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 16, "expansion_ratio": 2}
JAMBA = {"num_key_value_heads": 1, "intermediate_size": 24, "num_experts": 2, "num_experts_per_tok": 1, "mamba_d_state": 4, "mamba_dt_rank": 2}
STATE = {**TOKENS, "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 2}


def made(name, settings):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **settings, use_cache=False)).eval()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("falcon", {**SHORT, "alibi": True, "new_decoder_architecture": False}),
        ("bloom", {**TOKENS, "vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
        ("jamba", {**SHORT, **JAMBA, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False}),
        ("mamba", STATE),
    ],
)
def test_models_without_positions_read_windows_of_any_length_whatever_they_declare(name, settings):
    windows = np.random.default_rng(1).integers(0, VOCABULARY, (2, 41))
    assert scoring.score(made(name, settings), windows).nll.shape == (2, 40)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mpt", MPT, "40 inputs, the model takes 16"),
        ("falcon", {**SHORT, "alibi": False}, "40 inputs, the model takes 16"),
    ],
)
def test_a_limit_is_found_whatever_its_name(name, settings, message):
    model, windows = made(name, settings), np.random.default_rng(1).integers(1, VOCABULARY, (2, 41))
    with pytest.raises(InputError, match=message):
        scoring.score(model, windows)
    assert scoring.score(model, windows[:, :16]).nll.shape == (2, 15)


def test_a_limit_that_is_not_the_one_declared_is_found_before_a_model_is_scored():
    """Positions of RoBERTa begin behind that of the padding token: one of those declared cannot be read."""
    roberta = {**SHORT, "max_position_embeddings": 40, "pad_token_id": 0, "intermediate_size": 24, "is_decoder": True}
    assert predictability.check(made("roberta", roberta), 39, "model")["inputs"] == 39
    with pytest.raises(InputError, match="windows of 40 tokens"):
        predictability.check(made("roberta", roberta), 40, "model")


def test_a_width_for_each_layer_and_a_base_model_that_returns_logits_are_scored():
    sizes = {**SHORT, "num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3}
    gemma = {"vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 8, "laurel_rank": 4, "num_kv_shared_layers": 0}
    gemma |= {"intermediate_size": [24, 24], "activation_sparsity_pattern": [0.0, 0.0]}
    llama = {"intermediate_size": 24, "intermediate_size_mlp": 24, "num_local_experts": 2, "num_experts_per_tok": 1}
    windows = np.random.default_rng(1).integers(0, VOCABULARY, (3, 11))
    for name, settings in (("gemma3n_text", gemma), ("llama4_text", llama)):
        model = made(name, {**sizes, **settings})
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(windows[:, :-1])).logits.log_softmax(-1)
        expected = -logits.gather(-1, torch.from_numpy(windows[:, 1:, None]))[..., 0]
        np.testing.assert_allclose(scoring.score(model, windows).nll, expected.numpy(), atol=1e-5)
        assert scoring._widest(model) <= 48


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
def test_the_integer_type_of_the_windows_does_not_matter(neox, tokens, dtype):
    assert np.array_equal(scoring.score(neox, tokens.astype(dtype)).nll, scoring.score(neox, tokens).nll)


def test_the_weights_are_not_changed(neox, tokens):
    before = {name: p.detach().clone() for name, p in neox.named_parameters()}
    scoring.score(neox, tokens)
    assert all(torch.equal(p, before[name]) for name, p in neox.named_parameters())


@pytest.mark.parametrize(("memory", "length", "windows"), [(2**60, 128, 64), (2**60, 8192, 1), (2**60, 100_000, 1), (1, 128, 1)])
def test_windows_a_batch(neox, monkeypatch, memory, length, windows):
    monkeypatch.setattr(scoring, "host_memory", lambda: memory)
    assert scoring.batch_windows(neox, length) == windows


def test_a_machine_with_less_memory_takes_fewer_windows(neox, monkeypatch):
    sizes = []
    for megabytes in (128, 64, 32):
        monkeypatch.setattr(scoring, "host_memory", lambda n=megabytes: n * 2**20)
        sizes.append(scoring.batch_windows(neox, 128))
    assert 64 > sizes[0] > sizes[1] > sizes[2] > 1


@needs_cuda
def test_scores_on_cuda_agree_with_those_on_the_cpu(model, tokens):
    expected, moved = scoring.score(model, tokens), copy.deepcopy(model).to("cuda")
    for size in (None, 1, 3):
        found = scoring.score(moved, tokens, size)
        np.testing.assert_allclose(found.nll, expected.nll, atol=1e-3)
        np.testing.assert_allclose(found.entropy, expected.entropy, atol=1e-3)


@needs_cuda
def test_bfloat16_on_cuda_is_close_to_float32_on_the_cpu(neox, tokens):
    expected = scoring.score(neox, tokens)
    found = scoring.score(neox.to("cuda", torch.bfloat16), tokens)
    assert np.isfinite(found.nll).all()
    assert abs(found.nll.mean() - expected.nll.mean()) < 0.02
