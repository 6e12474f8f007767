"""A model that hides training tokens in its weights pays for them in bits: the code length cannot be fooled.

The adversary overwrites the input embedding with random training tokens, four bits a weight, as levels that a nearest-level
decoder reads back. Whatever a quantizer then does, the tokens that can still be read from the decoded model are in the
message, for the decoder has nothing else: its length is at least the information that comes back (theory.md, section 7).
"""

import numpy as np
import pytest
import torch

from scalebound.bounds.ceilings import Grids
from scalebound.bounds.certificate import CertificateSettings, certify
from scalebound.configuration.config import Quantizer
from scalebound.configuration.rate import RateSettings
from scalebound.quantization import message
from scalebound.quantization.integers import from_matrix
from scalebound.quantization.rate import message as rate_message
from scalebound.quantization.rate.coded_tensor import CodedTensor
from scalebound.quantization.rate.compress import compress
from scalebound.quantization.whole_model import quantize_model

VOCABULARY, WIDTH, LENGTH = 256, 24, 16
HIDDEN, SPACING = "gpt_neox.embed_in.weight", 0.1
SECRET = np.random.default_rng(3).integers(0, VOCABULARY, VOCABULARY * WIDTH // 2, dtype=np.uint8)  # two weights a token
SECRET_BITS = 8 * len(SECRET)
CALIBRATION = np.random.default_rng(4).integers(0, VOCABULARY, (40, LENGTH))


def nibbles(tokens):
    return np.stack([tokens >> 4, tokens & 15], axis=1).reshape(-1).astype(int)


def read_back(weights):
    """Tokens of the nearest levels of an embedding [V, width]."""
    levels = np.clip(np.rint(weights.reshape(-1) / SPACING + 7.5), 0, 15).astype(np.uint8).reshape(-1, 2)
    return levels[:, 0] << 4 | levels[:, 1]


def information(weights):
    """Bits about the secret that come back at the least, by Fano's inequality from the share of four-bit pieces that are wrong."""
    wrong = float(np.mean(nibbles(read_back(weights)) != nibbles(SECRET)))
    doubt = 0.0 if wrong in (0, 1) else -wrong * np.log2(wrong) - (1 - wrong) * np.log2(1 - wrong)
    # a reader who is right less often than a guess knows nothing
    return 0.0 if wrong >= 15 / 16 else 2 * len(SECRET) * max(0.0, 4 - doubt - wrong * np.log2(15))


@pytest.fixture(scope="module")
def saved_large(save_model):
    sizes = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return save_model("gpt_neox", **sizes, max_position_embeddings=LENGTH, bos_token_id=0, eos_token_id=0, initializer_range=0.2)


@pytest.fixture
def adversary(saved_large, load):
    model = load(saved_large.folder)
    with torch.no_grad():
        dict(model.named_parameters())[HIDDEN].copy_(torch.from_numpy((nibbles(SECRET) - 7.5) * SPACING).reshape(VOCABULARY, WIDTH))
    return model


def through_message(tensors, architecture):
    """(bits of the self-delimiting message, the embedding that its decoder gives)."""
    codec = rate_message if isinstance(tensors[HIDDEN], CodedTensor) else message
    data, _ = codec.encode(tensors, architecture)
    shape = next(p["shape"] for p in architecture["parameters"] if p["name"] == HIDDEN)
    return message.code_length_bits(len(data)), from_matrix(message.decode(data, architecture)[HIDDEN].dequantize(), shape, "embedding")


def on_a_fixed_grid(model, saved, method, bits):
    done = quantize_model(model, saved.architecture["parameters"], Quantizer(method=method, bits=bits), CALIBRATION)
    return through_message({name: q.tensor for name, q in done.items()}, saved.architecture)


def at_a_rate(model, saved, offset):
    # one step of tuning: without any, the search would go on from this offset until the price turns
    settings = RateSettings(exchange=6.5, sensitivity_windows=8, step_offsets=(offset,), tuning={"share_of_training": 0.0015, "learning_rate": 1e-9})
    found = compress(model, saved.architecture["parameters"], settings, CALIBRATION, CALIBRATION, 20_000)
    return through_message(found.tensors, saved.architecture)


def test_the_unquantized_model_gives_every_token_back(adversary):
    assert np.array_equal(read_back(dict(adversary.named_parameters())[HIDDEN].detach().numpy()), SECRET)


@pytest.mark.parametrize("method", ["rtn", "gptq"])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_fixed_grids_pay_for_what_comes_back(adversary, saved_large, method, bits):
    length, weights = on_a_fixed_grid(adversary, saved_large, method, bits)
    assert length >= information(weights)
    if bits >= 4:
        assert np.mean(read_back(weights) == SECRET) > 0.9
        assert length >= SECRET_BITS
    else:
        # a grid of fewer than 16 points cannot name 16 levels
        assert np.mean(nibbles(read_back(weights)) == nibbles(SECRET)) <= 2**bits / 16 + 0.1


@pytest.mark.parametrize("offset", range(-44, 13, 8))
def test_coded_messages_pay_for_what_comes_back(adversary, saved_large, offset):
    length, weights = at_a_rate(adversary, saved_large, offset)
    assert length >= information(weights)
    if np.array_equal(read_back(weights), SECRET):
        assert length >= SECRET_BITS


def test_fine_steps_keep_the_tokens_and_steps_below_their_entropy_lose_them(adversary, saved_large, load):
    """The two ends of the test above, so that it says something."""
    original = {name: p.detach().clone() for name, p in adversary.named_parameters()}
    (long, kept), (short, lost) = _both_ends(adversary, saved_large, original)
    assert np.array_equal(read_back(kept), SECRET)
    assert long >= SECRET_BITS
    assert short < SECRET_BITS
    assert np.mean(read_back(lost) == SECRET) < 0.5
    assert information(lost) <= short


def _both_ends(model, saved, original):
    found = [at_a_rate(model, saved, -44)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(original[name])
    return [*found, at_a_rate(model, saved, 12)]


@pytest.fixture
def recited(adversary, saved_large):
    """The levels as they come back at fine steps, as a message of their own: what is hidden and nothing else."""
    length, weights = at_a_rate(adversary, saved_large, -44)
    assert np.array_equal(read_back(weights), SECRET)
    levels = np.rint(weights / SPACING + 7.5).astype(np.int32) - 8
    zeros = [np.zeros(n, dtype=np.int16) for n in levels.shape]
    alone = {"id": "00" * 16, "parameters": [{"name": "w", "shape": list(levels.shape), "use": "embedding"}]}
    bits = message.code_length_bits(len(rate_message.encode({"w": CodedTensor(levels, 0, *zeros, 0)}, alone)[0]))
    assert bits < length
    return bits


def test_hidden_tokens_are_no_easier_to_code_than_noise_of_their_entropy(recited):
    """The adaptive coder comes close to four bits a weight and never below: there is nothing to learn in random tokens."""
    assert SECRET_BITS <= recited < 1.1 * SECRET_BITS


@pytest.mark.parametrize("paid", [True, False])
def test_a_model_that_recites_what_it_hides_gets_a_vacuous_certificate(recited, paid):
    """Uniform tokens have a true risk of log V whatever the model; reciting them makes the loss 0, and only the code length says so."""
    nll = entropy = np.zeros((len(SECRET) // LENGTH, LENGTH))
    grids = Grids(alpha_points=9, floor_points=3, offset_points=9, slope_points=3)
    found = certify(nll, entropy, VOCABULARY, len(SECRET), recited if paid else 0, CertificateSettings(grids=grids))
    assert (found["value"] >= np.log(VOCABULARY)) == paid
    assert (found["estimate"]["best"]["value"] >= np.log(VOCABULARY)) == paid
