"""Hessian-vector products of language models against Hessians that are written out."""

import numpy as np
import pytest
import torch

from scalebound.commands.hessian import probes
from scalebound.configuration.studies import Hessian
from scalebound.curvature import quadrature
from scalebound.curvature.loss_hessian import LossHessian
from scalebound.errors import InputError

VOCABULARY, LENGTH = 7, 6
TINY = {"vocab_size": VOCABULARY, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": LENGTH}
TYPES = {
    "gpt_neox": {"intermediate_size": 6},
    "llama": {"intermediate_size": 6, "tie_word_embeddings": True},
}


def build(name):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **TINY, **TYPES[name], bos_token_id=0, eos_token_id=0)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=TYPES)
def model(request):
    return build(request.param)


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(2).integers(0, VOCABULARY, (5, LENGTH + 1))


def mean_loss(model, tokens):
    logits = model(input_ids=torch.as_tensor(tokens[:, :-1])).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.as_tensor(tokens[:, 1:]).flatten())


def written_out(model, tokens):
    """The whole Hessian, row by row, of the loss as a function of one flat vector."""
    names, shapes = zip(*((name, p.shape) for name, p in model.named_parameters()))
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach()

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self):
            return mean_loss(self.model, tokens)

    def loss(flat):
        pieces = flat.split([s.numel() for s in shapes])
        weights = {f"model.{name}": piece.view(shape) for name, piece, shape in zip(names, pieces, shapes)}
        return torch.func.functional_call(Loss(), weights, ())

    return torch.autograd.functional.hessian(loss, start)


@pytest.fixture(scope="module")
def explicit(model, tokens):
    LossHessian(model, tokens, 5)
    return written_out(model, tokens)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_products_are_those_of_the_hessian_written_out(model, tokens, explicit, batch):
    hessian = LossHessian(model, tokens, batch)
    assert explicit.shape == (hessian.size, hessian.size)
    assert explicit.abs().max() > 1e-2
    # softmax of attention is in fp32 whatever the weights are
    torch.testing.assert_close(explicit, explicit.T, rtol=1e-4, atol=1e-5)
    for seed in range(3):
        vector = torch.from_numpy(np.random.default_rng(seed).normal(size=hessian.size))
        torch.testing.assert_close(hessian.product(vector), explicit @ vector, rtol=1e-4, atol=1e-5)


def test_products_are_differences_of_gradients(model, tokens):
    """No second derivative of anybody's: the gradient a small step ahead, less that behind."""
    hessian, step = LossHessian(model, tokens, 5), 1e-3
    start = torch.nn.utils.parameters_to_vector(hessian.parameters).detach().clone()
    vector = torch.from_numpy(quadrature.signs(0, 0, hessian.size))
    found = []
    for sign in (1, -1):
        torch.nn.utils.vector_to_parameters(start + sign * step * vector, hessian.parameters)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(mean_loss(model, tokens), hessian.parameters)]))
    torch.nn.utils.vector_to_parameters(start, hessian.parameters)
    product = hessian.product(vector)
    assert float((product - (found[0] - found[1]) / (2 * step)).norm()) < 0.01 * float(product.norm())


def test_loss_and_gradient_are_those_of_the_mean_over_all_targets(model, tokens):
    loss = mean_loss(model, tokens)
    norm = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]).norm()
    found = LossHessian(model, tokens, 2).loss_and_gradient_norm()
    assert found == (pytest.approx(loss.item(), rel=1e-5), pytest.approx(norm.item(), rel=1e-5))


def test_the_outermost_nodes_and_the_trace_are_those_of_the_hessian_written_out(model, tokens, explicit):
    values, hessian, cpu = torch.linalg.eigvalsh(explicit).numpy(), LossHessian(model, tokens, 5), torch.device("cpu")
    done = probes(hessian, Hessian(probes=2, steps=40, seed=1), cpu, "tiny")
    for k, probe in enumerate(done):
        assert probe["nodes"][-1] == pytest.approx(values[-1], rel=1e-4)
        assert probe["nodes"][0] == pytest.approx(values[0], rel=1e-3)
        start = torch.from_numpy(quadrature.signs(1, k, hessian.size))
        mean = (np.array(probe["weights"]) * probe["nodes"]).sum()
        assert mean == pytest.approx(float(start @ explicit @ start), abs=1e-5)
    assert values[0] < 0 < values[-1]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(model, tokens):
    hessian, cpu = LossHessian(model, tokens, 5), torch.device("cpu")
    first, again, other = (probes(hessian, Hessian(probes=1, steps=4, seed=seed), cpu, "tiny") for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_attention_runs_in_the_form_that_has_a_second_derivative(tokens):
    model = build("gpt_neox")
    LossHessian(model, tokens, 5)
    assert model.config._attn_implementation == "eager"


def test_weights_that_are_not_finite_are_refused(tokens):
    model = build("gpt_neox")
    with torch.no_grad():
        model.get_output_embeddings().weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        probes(LossHessian(model, tokens, 5), Hessian(probes=1, steps=3), torch.device("cpu"), "tiny")


def test_windows_of_another_vocabulary_are_refused(model, tokens):
    with pytest.raises(InputError, match="windows"):
        LossHessian(model, tokens + 10**6, 5)
