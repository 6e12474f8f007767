"""Loading a model with transformers: from files that are named, without network and without remote code, and only if it can be scored."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from scalebound.artifacts.model_files import CONFIG, model_files
from scalebound.errors import InputError, first_line
from scalebound.models import blockwise, device_locks, predictability, unaltered
from scalebound.models.architecture import aliases
from scalebound.models.config import check_config, check_number_of_weights
from scalebound.models.files import OLD_BUFFERS, folder_of, opened, repeated_zeros, stored_dtype, weight_bytes, weights_of
from scalebound.models.lengths import check_length

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


# settings under which a forward pass changes weights, and the value at which it leaves them: RWKV, against an overflow of fp16
# and not in training, halves weights every so many layers, and with them its hidden states, which a norm then makes up for
_LEAVES_WEIGHTS_ALONE = {"rescale_every": 0}


def load_described(description, device, dtype, inputs):
    """The model of a resolved.json or decoded.json, as `files.read_description` gives it; see `load_folder`."""
    return load_folder(folder_of(description), device, dtype, inputs, weights_of(description))


def load_folder(folder, device, dtype, inputs, weights=None, prefix=""):
    """(causal language model in evaluation mode, what `predictability.check` found) for windows of `inputs` tokens.

    weights: names of the weight files, or paths, those of `model_files` unless they are given. No other file but config.json is
    opened. prefix: of the names of its tensors, in files that hold several models.

    Raises:
        InputError: the folder holds no such model, weights that are not those of its configuration, a model that no bound
            holds for, or one whose forward pass changes its weights.
    """
    model = read_model(folder, device, dtype, weights, prefix)
    check_length(model, inputs)
    before = unaltered.fingerprints(model)
    found = predictability.check(model, inputs, folder)
    unaltered.check(model, before, folder)
    return model, found


def load_by_block(folder, device, inputs, weights=None):
    """(model in float32, blockwise.Blockwise that has its weights, what `predictability.check` found); otherwise as `load_folder`.

    One whose weights something else than their own blocks reads is kept in memory whole.
    """
    paths = _weight_paths(folder, weights)
    with opened(paths) as tensors:
        mapped = _assembled(Path(folder), paths, tensors, stored_dtype(tensors), {})
        # what is computed when a model is made depends on the type: all is that of float32 but the weights
        model = _assembled(Path(folder), paths, repeated_zeros(tensors), torch.float32, {})
    held = blockwise.Blockwise(model, dict(mapped.named_parameters()), device)
    check_length(model, inputs)
    before = unaltered.fingerprints(model)
    try:
        found = predictability.check(model, inputs, folder)
    except InputError:
        held.keep()
        before = unaltered.fingerprints(model)
        found = predictability.check(model, inputs, folder)
    unaltered.check(model, before, folder)
    held.check(folder)
    return model, held, found


def read_model(folder, device, dtype, weights=None, prefix=""):
    """The model alone, which has computed nothing yet; see `load_folder`. One that is larger than a CUDA device is spread over those that there are.

    dtype: None for that of the files, whose weights then stay mapped on the CPU.
    """
    folder, paths = Path(folder), _weight_paths(folder, weights)
    spread = _is_too_large(paths, device, dtype)
    with opened(paths, prefix) as tensors:
        model = _assembled(folder, paths, tensors, DTYPES[dtype] if dtype else stored_dtype(tensors), {"device_map": "auto"} if spread else {})
    return model if spread else model.to(device)


def _weight_paths(folder, weights):
    check_config(folder)
    paths = [Path(folder) / name for name in (model_files(folder) if weights is None else weights) if str(name).endswith((".safetensors", ".bin"))]
    if not paths:
        raise InputError(folder, "no safetensors among its files", f"Give a folder with {CONFIG} and safetensors")
    return paths


def _assembled(folder, paths, tensors, dtype, placing):
    """The model of a folder's configuration with `tensors`, {name in the files: tensor}, in a torch dtype."""
    transformers_logging.disable_progress_bar()
    # of what it only warns, everything is an error here
    transformers_logging.set_verbosity_error()
    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            for name in _LEAVES_WEIGHTS_ALONE.keys() & config.to_dict().keys():
                setattr(config, name, _LEAVES_WEIGHTS_ALONE[name])
            empty = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
            check_number_of_weights(empty, paths)
        # from the tensors of these files: by the name of a folder, adapters, other indices and other formats in it would play a part
        model, loading = type(empty).from_pretrained(
            None,
            # its own: of a configuration with several parts, the model takes the one for text
            config=empty.config,
            state_dict=tensors,
            dtype=dtype,
            trust_remote_code=False,
            local_files_only=True,
            weights_only=True,
            # reported below in one way with what is missing, instead of raised in another
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **placing,
        )
    except InputError:
        raise
    except Exception as error:  # sizes that do not fit together surface as whatever the library computes with them raises
        raise InputError(folder, f"its weights cannot be loaded: {first_line(error)}", f"Give a folder with {CONFIG} and weights of that model") from None
    _check_complete(folder, loading, model, empty)
    model.config.use_cache = False
    return model.eval()


def _check_complete(folder, loading, model, empty):
    """What was loaded are all parameters of the architecture and no more, of its shapes, and tied as it says.

    Transformers fills what is missing at random, and lets a tied matrix that the files hold twice, with different values,
    be two; it only warns. Buffers that old versions saved are no weights.
    """
    left_over = [key for key in loading["unexpected_keys"] if not str(key).endswith(OLD_BUFFERS)]
    problems = {"missing": loading["missing_keys"], "unexpected": left_over, "mismatched": loading["mismatched_keys"]}
    for problem, keys in problems.items():
        if keys:
            raise InputError(folder, f"{problem} keys: {sorted(map(str, keys))[:3]}", "The weights are not those of its config.json")
    tied, found = aliases(empty), aliases(model)
    if untied := sorted(set(tied) - set(found)):
        what = f"{untied[0]}, which config.json ties to {tied[untied[0]]}, has values of its own"
        raise InputError(folder, what, "Set tie_word_embeddings to false in config.json if it should have, or take the weights of this configuration")
    if _layout(model) != _layout(empty) or tied != found:
        raise InputError(folder, "other parameters than config.json describes", "The weights are not those of its config.json")


def _layout(model):
    return [(name, parameter.shape) for name, parameter in model.named_parameters()]


def _is_too_large(paths, device, dtype):
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        return False
    return weight_bytes(Path(), paths, dtype) > device_locks.WEIGHTS_SHARE * torch.cuda.get_device_properties(device).total_memory
