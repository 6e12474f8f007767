"""What is fixed before any data is seen: the architecture, as an ordered list of parameters.

`architecture.json` is all that a decoder needs beside the message: the model's configuration and, in a canonical
order, each parameter's name, shape and use. It is derived from the configuration alone, on torch's meta device.
"""

from collections import Counter

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from scalebound.artifacts.architecture import architecture_id
from scalebound.errors import InputError, first_line
from scalebound.models.config import check_config

# written by transformers on saving; they say nothing about the architecture
_INCIDENTAL = ("transformers_version", "dtype", "torch_dtype", "_name_or_path", "use_cache")


def describe(folder):
    """Architecture of the model saved in `folder` as a dict: config, parameters, tied, n_params, vocab_size, id.

    `parameters` lists {name, shape, use}; `use` is one of embedding, tied (embedding and output head in one),
    linear ([out, in]), conv1d ([in, out]), fused (several matrices in one parameter, as experts are), vector (1-D), other.

    Raises:
        InputError: no readable configuration, one that wants remote code, or a model with stored buffers.
    """
    check_config(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # sizes that do not fit together surface as whatever the library computes with them raises
        raise InputError(f"{folder}/config.json", first_line(error), "Give a causal language model of transformers") from None
    return _layout(model, config, folder)


def _layout(model, config, folder):
    uses, tied = _uses(model), aliases(model)
    parameters = [{"name": name, "shape": list(p.shape), "use": uses.get(name, _default_use(p))} for name, p in model.named_parameters()]
    buffers = set(model.state_dict()) - {p["name"] for p in parameters} - set(tied)
    if buffers:
        raise InputError(folder, f"stores the buffer {sorted(buffers)[0]}, which is no parameter", "Models with stored buffers are not supported")
    head = model.get_output_embeddings()
    if head is None:
        raise InputError(folder, "no output head", "Give a causal language model of transformers")
    plain = {key: value for key, value in config.to_dict().items() if key not in _INCIDENTAL}
    return {
        "config": plain,
        "parameters": parameters,
        "tied": tied,
        "n_params": sum(p.numel() for p in model.parameters()),
        "vocab_size": head.weight.shape[0],
        "id": architecture_id(plain, parameters),
    }


def _uses(model):
    """{parameter name: use} of every module weight whose role is known; a shared matrix is listed once."""
    seen, names = {}, {id(p): name for name, p in model.named_parameters()}
    kinds = ((nn.Embedding, "embedding"), (nn.Linear, "linear"), (Conv1D, "conv1d"))
    for module in model.modules():
        for kind, use in kinds:
            if isinstance(module, kind):
                seen.setdefault(names[id(module.weight)], []).append(use)
    found = {name: "tied" if len(Counter(uses)) > 1 else uses[0] for name, uses in seen.items()}
    return {**{names[id(p)]: "fused" for module in model.modules() for p in _fused(module)}, **found}


def _fused(module):
    """Parameters of a module's own that hold several matrices; a convolution's three dimensions are one matrix and its window."""
    own = [] if isinstance(module, _ConvNd) else module.parameters(recurse=False)
    return [p for p in own if p.ndim == 3 and min(p.shape) > 1]


def aliases(model):
    """{alias: name of the stored parameter} for parameters of a model that are shared."""
    names, aliases = {}, {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in names:
            aliases[name] = names[id(parameter)]
        else:
            names[id(parameter)] = name
    return aliases


def _default_use(parameter):
    return "vector" if parameter.ndim <= 1 else "other"
