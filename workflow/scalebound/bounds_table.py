"""Reading `bounds.csv`, the table of a family's bounds."""

import numpy as np
import pandas as pd

from scalebound.errors import InputError, first_line

REMAKE = "Delete it and let snakemake make it again"
TEXTS = ("checkpoint", "quantizer")
# what the figures and the summary look at
NUMBERS = (
    *("n_params", "n_tokens", "vocab_size", "train_loss", "sigma", "paper_bound", "azuma_bound", "freedman_bound_coded", "coded_bits_per_param"),
    *("term_parameters_per_token", "term_loss_variation", "term_smoothing", "term_quantization_gap"),
)


def read_bounds_table(path):
    """The table as a data frame: one row a checkpoint and quantizer, losses and bounds in nats per token.

    Raises:
        InputError: unreadable, or without one of the columns, or with one that holds anything but finite numbers.
    """
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str))
    except FileNotFoundError:
        raise InputError(path, "no such file", "Run snakemake first") from None
    except ValueError as error:
        raise InputError(path, f"not a table of bounds ({first_line(error)})", REMAKE) from None
    for name in (*TEXTS, *NUMBERS):
        if name not in table:
            raise InputError(path, f"no column {name!r}", REMAKE)
        if not table[name].map(lambda value, wanted=name in TEXTS: isinstance(value, str) if wanted else np.isreal(value) and np.isfinite(value)).all():
            raise InputError(path, f"column {name!r} holds something else than its kind", REMAKE)
    return table
