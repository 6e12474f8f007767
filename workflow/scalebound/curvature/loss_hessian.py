"""Products of the Hessian of the mean token loss with vectors over all parameters, by backpropagating twice (Pearlmutter 1994)."""

import torch
from torch.nn.functional import cross_entropy

from scalebound.scoring.scoring import check_windows


class LossHessian:
    """The Hessian at the weights of a causal language model, over integer windows [windows, row_tokens]; never formed.

    Products are computed in the dtype of the weights and summed over batches in float64. Attention runs in its plain
    form: the fused kernels have no second derivative.

    Raises:
        InputError: ids outside the vocabulary, or windows longer than the model allows.
    """

    def __init__(self, model, tokens, windows_per_batch):
        check_windows(model, tokens)
        model.set_attn_implementation("eager")
        self.model, self.parameters = model, [p.requires_grad_() for p in model.parameters()]
        self.batches = [tokens[k : k + windows_per_batch] for k in range(0, len(tokens), windows_per_batch)]
        self.targets = tokens[:, 1:].size
        self.size = sum(p.numel() for p in self.parameters)

    def product(self, vector):
        """H v, float64 [size], of a vector [size] in the order of the model's parameters."""
        pieces = [p.view(q.shape).to(q) for p, q in zip(vector.split([q.numel() for q in self.parameters]), self.parameters)]
        total = torch.zeros(self.size, dtype=torch.float64, device=vector.device)
        for batch in self.batches:
            gradients = torch.autograd.grad(self._loss(batch), self.parameters, create_graph=True, materialize_grads=True)
            along = sum((g * v).sum().to(vector.device) for g, v in zip(gradients, pieces))
            total += self._flat(torch.autograd.grad(along, self.parameters, materialize_grads=True), vector.device)
        return total

    def loss_and_gradient_norm(self):
        """(mean token loss in nats, norm of its gradient) over the windows."""
        loss, gradient = 0.0, torch.zeros(self.size, dtype=torch.float64)
        for batch in self.batches:
            part = self._loss(batch)
            gradient += self._flat(torch.autograd.grad(part, self.parameters, materialize_grads=True), "cpu")
            loss += float(part.detach())
        return loss, float(gradient.norm())

    def _loss(self, batch):
        """The batch's share of the mean over all targets."""
        tokens = torch.as_tensor(batch, dtype=torch.long, device=self.model.device)
        logits = self.model(input_ids=tokens[:, :-1]).logits.flatten(0, 1)
        return cross_entropy(logits, tokens[:, 1:].flatten().to(logits.device), reduction="sum") / self.targets

    @staticmethod
    def _flat(tensors, device):
        return torch.cat([t.reshape(-1).double().to(device) for t in tensors])
