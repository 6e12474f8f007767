"""Reading the tables of a family: bounds.csv, comparison.csv, certificates.csv, and those of its studies that figures are drawn from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scalebound.errors import InputError, first_line

REMAKE = "Delete it and let snakemake make it again"
# gptq_share from which a quantizer is the paper's recipe, GPTQ of the whole model: below it bounds stand, but not under the paper's name
RECIPE_SHARE = 0.9


@dataclass(frozen=True)
class Columns:
    """What readers of a table look at: texts, finite numbers, and numbers that may be missing."""

    texts: tuple
    numbers: tuple
    gaps: tuple = ()


TERMS = ("term_parameters_per_token", "term_loss_variation", "term_smoothing", "term_quantization_gap")
ONLINE_TERMS = ("reference_loss", "reference_bound", "difference_second_moment", "mean_largest_difference")
BOUNDS = Columns(
    ("checkpoint", "quantizer"),
    (
        *("n_params", "n_tokens", "vocab_size", "train_loss", "sigma", "C", "paper_bound", "azuma_bound", "freedman_bound_coded"),
        *("coded_bits_per_param", "gptq_share"),
        *TERMS,
    ),
    ("heldout_loss", "heldout_standard_error", "heldout_bound", "online_bound", "online_bound_coded", *ONLINE_TERMS),
)
_COMPARED = ("train_loss", "paper_bound", "azuma_bound")
COMPARISON = Columns(("checkpoint", "status"), (), (*_COMPARED, *(f"{name}_published" for name in _COMPARED)))
_STEPS = ("real_code_length", "geometric", "tuned", "estimate", "certificate")
CERTIFICATES = Columns(
    ("checkpoint", "quantizer"),
    ("n_params", "n_tokens", "train_loss", *_STEPS, "coded_bits_per_param"),
    ("paper_recipe", "gap_ratio", "true_risk", "trained_risk", "rate_chosen", "without_references", "heldout_loss", "heldout_bound", *ONLINE_TERMS),
)
LOSS_CURVES = Columns(("line", "status"), ("n_params", "vocab_size", "tokens", "loss"), ("information_nats",))
LAWS = Columns(("law",), ("E", "A", "B", "alpha", "beta"))
INFORMATION = Columns(
    ("line", "status"),
    ("n_params", "tokens", "loss", "tokens_per_param"),
    ("information_nats", "bits_per_param", "bits_per_token", "law_loss", "law_information_nats", "information_error", "C", "sigma", "bound_information"),
)
GAP_LAW = Columns(("series", "kind", "model"), ("n_params", "n_tokens", "gap", "loss"), ("C", "sigma"))
ALONG_STREAM = Columns(
    ("checkpoint", "quantizer"),
    (
        *("n_params", "n_tokens", "from", "train_loss", "quantized_loss", "C", "geometric_bound", "online_bound", "reference_bound"),
        *("reference_loss", "difference_second_moment", "mean_largest_difference"),
    ),
)
ONLINE_LAW = Columns(("law", "model"), ("start", "excess", "largest", "n_params", "n_tokens", "C", "regret", "gap", "bound"), ("published_gap",))
OVERTRAINING = Columns(("law", "code"), ("n_params", "n_tokens", "tokens_per_param", "C", "loss", "gap", "bound"))
ABLATIONS = Columns(("checkpoint", "ablation", "setting"), ("n_params", "bound", "gap"), ("x", "low", "high"))
TRAJECTORY = Columns(
    ("line", "checkpoint"),
    ("step", "n_params", "n_tokens", "tokens_per_param", "vocab_size", "train_loss", "paper_bound", *TERMS),
)
BASELINES = Columns(
    ("checkpoint",),
    ("n_params", "n_tokens", "log_v", "train_loss", "paper_bound", "freedman_bound", "geometric_bound", "azuma_bound"),
    ("heldout_loss", "heldout_standard_error", "heldout_loss_quantized", "document_bound", "documents", "certificate"),
)
QUANTIZABILITY = Columns(
    ("checkpoint", "quantizer", "method"),
    ("n_params", "n_tokens", "nominal_bits_per_param", "coded_bits_per_param", "train_loss", "quantized_loss", "increase"),
)
_STUDENT_BOUNDS = tuple(f"{name}_bound{suffix}" for suffix in ("", "_divergence") for name in ("paper", "geometric", "online"))
REQUENTIAL = Columns(
    ("checkpoint", "source", "quantizer"),
    (
        *("n_params", "n_tokens", "train_loss", "student_loss", "divergence_bits_a_step", "divergence_bits_per_param", "formula_bits_per_param"),
        *("coded_bits_per_param", "coded_loss"),
    ),
    ("sent_bits_per_param", "gap_of_lossless", "gap_of_lossless_divergence", "coded_online_bound", "coded_geometric_bound", *_STUDENT_BOUNDS),
)
SEEDS = Columns(("quantity",), ("n_params", "n_tokens", "models"), ("mean", "deviation", "least", "largest"))
SPECTRA = Columns(
    ("checkpoint", "layer", "kind"),
    ("n_params", "width", "trace"),
    ("block", "ratio", "effective_rank", "largest_share", *(f"eigenvalue_{rank}" for rank in range(0, 101, 5))),
)
HESSIAN_NODES = Columns(("checkpoint", "status"), ("n_params",), ("probe", "node", "weight"))


def read_family_table(path, columns=BOUNDS):
    """A table as a data frame: one row a checkpoint (and quantizer), losses and bounds in nats per token.

    Raises:
        InputError: unreadable, or without one of the columns, or with one that holds anything but its kind.
    """
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(columns.texts, str))
    except FileNotFoundError:
        raise InputError(path, "no such file", "Run snakemake first") from None
    except ValueError as error:
        raise InputError(path, f"not a table of a family ({first_line(error)})", REMAKE) from None
    kinds = {columns.texts: _is_text, columns.numbers: _is_finite, columns.gaps: _is_finite_or_missing}
    for names, fits in kinds.items():
        for name in names:
            if name not in table:
                raise InputError(path, f"no column {name!r}", REMAKE)
            if not table[name].map(fits).all():
                raise InputError(path, f"column {name!r} holds something else than its kind", REMAKE)
    return table


def _is_text(value):
    return isinstance(value, str)


def _is_finite(value):
    return np.isreal(value) and np.isfinite(value)


def _is_finite_or_missing(value):
    return np.isreal(value) and not np.isinf(value)
