"""Loading a model with transformers: from a local folder of safetensors, without network and without remote code."""

import struct
from pathlib import Path
from pickle import UnpicklingError

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from scalebound.artifacts.provenance import parse_json
from scalebound.errors import InputError, first_line
from scalebound.models.config import check_config, check_number_of_weights
from scalebound.models.files import OLD_BUFFERS, folder_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


# share of a CUDA device's memory that weights may take before the model is spread over several devices
WEIGHTS_SHARE = 0.8


def load_folder(folder, device, dtype, allow_bin=False):
    """A causal language model in evaluation mode.

    Weights are safetensors; `.bin` files, which some released branches have alone, only where `allow_bin` is true, and
    then by torch's weights_only loader. A model that is larger than one CUDA device is spread over those that there are.

    Raises:
        InputError: the folder holds no such model, or weights that are not those of its configuration.
    """
    transformers_logging.disable_progress_bar()
    folder = Path(folder)
    check_config(folder)
    suffix = ".safetensors" if any(folder.glob("*.safetensors")) or not allow_bin else ".bin"
    _refuse_other_formats(folder, suffix)
    spread = _is_too_large(folder, suffix, device, dtype)
    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            check_number_of_weights(AutoModelForCausalLM.from_config(config, trust_remote_code=False), folder, suffix)
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=DTYPES[dtype],
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=suffix == ".safetensors",
            weights_only=True,
            # reported below in one way with what is missing, instead of raised in another
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **({"device_map": "auto"} if spread else {}),
        )
    except InputError:
        raise
    except (UnpicklingError, EOFError, struct.error):
        # torch's own message advises to load whatever it is
        raise InputError(folder, "its .bin files hold more than tensors, or are damaged", "Do not open them; name another revision") from None
    except Exception as error:  # sizes that do not fit together surface as whatever the library computes with them raises
        raise InputError(folder, first_line(error), f"Give a folder with config.json and {suffix} files") from None
    _check_complete(folder, loading)
    model.config.use_cache = False
    return model.eval() if spread else model.eval().to(device)


def load_described(description, device, dtype):
    """The model of a resolved.json or decoded.json, as `model_files.read_description` gives it; see `load_folder`."""
    # released branches may carry nothing but .bin files; what is made or brought here is safetensors
    return load_folder(folder_of(description), device, dtype, allow_bin="hub" in description)


def _check_complete(folder, loading):
    """Transformers fills what is missing at random and only warns; buffers that old versions saved are no weights."""
    left_over = [key for key in loading["unexpected_keys"] if not str(key).endswith(OLD_BUFFERS)]
    problems = {"missing": loading["missing_keys"], "unexpected": left_over, "mismatched": loading["mismatched_keys"]}
    for problem, keys in problems.items():
        if keys:
            raise InputError(folder, f"{problem} keys: {sorted(map(str, keys))[:3]}", "The weights are not those of its config.json")


def _is_too_large(folder, suffix, device, dtype):
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        return False
    stored = sum(path.stat().st_size for path in folder.glob(f"*{suffix}"))
    # released weights are stored in two bytes an entry
    needed = stored * DTYPES[dtype].itemsize / 2
    return needed > WEIGHTS_SHARE * torch.cuda.get_device_properties(device).total_memory


def _refuse_other_formats(folder, suffix):
    """Raise InputError when an index of weight files names anything but files of the suffix beside it."""
    # the other format's index may lie there too, in a cache that other programs use: it is not opened
    for index in folder.glob(f"*{suffix}.index.json"):
        try:
            names = set(parse_json(index.read_bytes(), index)["weight_map"].values())
        except (KeyError, AttributeError, TypeError) as error:
            raise InputError(index, f"not an index of weight files ({error})", "Fetch the checkpoint again") from None
        odd = sorted(str(name) for name in names if not str(name).endswith(suffix) or Path(str(name)).name != name)
        if odd:
            raise InputError(index, f"names {odd[0]}", f"Only {suffix} files beside the index are opened")
