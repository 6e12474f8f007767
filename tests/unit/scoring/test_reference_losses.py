"""Expected losses against sums that are written out, and the command's refusals."""

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound.errors import InputError
from scalebound.scoring.reference_losses import expected_losses, reference_losses


def tiny(seed=0):
    torch.manual_seed(seed)
    config = GPTNeoXConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, max_position_embeddings=8)
    return GPTNeoXForCausalLM(config).eval()


def test_both_means_are_sums_over_the_vocabulary():
    logits, alpha = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)) * 3, 0.2
    share = torch.softmax(logits.double(), -1)
    smoothed = 0.8 * share + 0.2 / 7
    under, over = expected_losses(logits, alpha)
    np.testing.assert_allclose(under, -(share * smoothed.log()).sum(-1), rtol=1e-5)
    # what the smoothed model expects of its own loss is its entropy
    np.testing.assert_allclose(over, -(smoothed * smoothed.log()).sum(-1), rtol=1e-5)
    assert (over >= under).all()


def test_batches_do_not_matter(monkeypatch):
    model, tokens = tiny(), np.random.default_rng(2).integers(0, 11, (5, 8))
    whole = reference_losses(model, tokens, 0.1)
    monkeypatch.setattr("scalebound.scoring.reference_losses.POSITIONS", 1)
    parts = reference_losses(model, tokens, 0.1)
    assert whole[0].shape == (5, 7)
    for left, right in zip(whole, parts):
        np.testing.assert_allclose(left, right, rtol=1e-5)


def test_a_model_with_nan_weights_is_refused():
    model = tiny()
    with torch.no_grad():
        model.gpt_neox.final_layer_norm.weight[0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        reference_losses(model, np.zeros((2, 8), dtype=np.int64), 0.1)


@pytest.mark.parametrize("tokens", [np.full((2, 8), 11), np.full((2, 8), -1), np.zeros((2, 10), dtype=np.int64)])
def test_windows_of_another_vocabulary_or_length_are_refused(tokens):
    with pytest.raises(InputError, match="windows"):
        reference_losses(tiny(), tokens, 0.1)
