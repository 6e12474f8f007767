"""A model's parameters as views of one vector, and their gradients of another.

For models this small the time of a step that is not in the layers goes to calls, one or more for each parameter. In one
vector, clipping, AdamW and averaging are a few calls whatever the number of parameters: a fifth of the time of a whole step.
"""

import torch


class FlatWeights:
    """`values` and `gradients`, float32 [parameters], matrices first; `groups` are the two parts as an optimizer's parameter groups.

    Weight decay is for matrices only, as usual: norms and biases are left alone. Gradients add up until `gradients` is set to 0.
    """

    def __init__(self, model, weight_decay):
        parameters = sorted(model.parameters(), key=lambda p: p.ndim <= 1)
        matrices = sum(p.numel() for p in parameters if p.ndim > 1)
        self.values = torch.cat([p.detach().flatten() for p in parameters])
        self.gradients = torch.zeros_like(self.values)
        sizes = [p.numel() for p in parameters]
        names = {id(p): name for name, p in model.named_parameters()}
        self._layout = [(names[id(p)], p.shape, p.numel()) for p in parameters]
        for parameter, value, gradient in zip(parameters, self.values.split(sizes), self.gradients.split(sizes)):
            parameter.data, parameter.grad = value.view_as(parameter), gradient.view_as(parameter)
        self.groups = [
            {"params": [self._part(slice(None, matrices))], "weight_decay": weight_decay},
            {"params": [self._part(slice(matrices, None))], "weight_decay": 0.0},
        ]

    def _part(self, entries):
        part = torch.nn.Parameter(self.values[entries])
        part.grad = self.gradients[entries]
        return part

    def named(self, values):
        """{parameter name: tensor of its own} of any `values`, float32 [parameters], in the order of these."""
        parts = values.split([size for _, _, size in self._layout])
        return {name: part.view(shape).clone() for (name, shape, _), part in zip(self._layout, parts)}

    def clip(self, norm):
        """Scale the gradients to a Euclidean norm of at most `norm`."""
        self.gradients *= (norm / (self.gradients.norm() + 1e-6)).clamp(max=1.0)
