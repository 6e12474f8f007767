"""Loading a model with transformers: from a local folder of safetensors, without network and without remote code."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from scalebound.errors import InputError, first_line
from scalebound.model_config import check_config, check_number_of_weights
from scalebound.provenance import parse_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_folder(folder, device, dtype):
    """A causal language model in evaluation mode. Raises InputError when the folder holds none."""
    transformers_logging.disable_progress_bar()
    check_config(folder)
    _refuse_pickles(Path(folder))
    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            check_number_of_weights(AutoModelForCausalLM.from_config(config, trust_remote_code=False), folder)
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=DTYPES[dtype],
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            # reported below in one way with what is missing, instead of raised in another
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except InputError:
        raise
    except Exception as error:  # sizes that do not fit together surface as whatever the library computes with them raises
        raise InputError(folder, first_line(error), "Give a folder with config.json and safetensors") from None
    # transformers fills what is missing at random and only warns
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading[problem]:
            raise InputError(folder, f"{problem.replace('_', ' ')}: {sorted(map(str, loading[problem]))[:3]}", "The weights are not those of its config.json")
    model.config.use_cache = False
    return model.eval().to(device)


def _refuse_pickles(folder):
    """Raise InputError when an index of weight files names anything but safetensors: transformers would unpickle it."""
    for index in folder.glob("*.index.json"):
        try:
            names = set(parse_json(index.read_bytes(), index)["weight_map"].values())
        except (KeyError, AttributeError, TypeError) as error:
            raise InputError(index, f"not an index of weight files ({error})", "Fetch the checkpoint again") from None
        odd = sorted(str(name) for name in names if not str(name).endswith(".safetensors") or Path(str(name)).name != name)
        if odd:
            raise InputError(index, f"names {odd[0]}", "Only safetensors files beside the index are opened")
