"""Settings of the rate path: what a configuration states and a report repeats."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Straight-through fine-tuning of the codes. steps: 0 for none; rows of `batch_rows` windows are drawn in order."""

    steps: int = 0
    batch_rows: int = 2
    learning_rate: float = 3e-3
    warmup_steps: int = 20
    final_learning_rate_fraction: float = 0.0
    beta2: float = 0.999
    clip_norm: float = 100.0
    step_learning_rate: float = 0.01  # of the steps' exponents (in quarters of an octave), relative to learning_rate 1e-3
    statistics_every: int = 10  # optimizer steps between refreshes of the rate model


@dataclass(frozen=True)
class RateSettings:
    """exchange: nats of bound that one nat of code per token costs (log V + log 1/alpha and more: about 10 at V = 512).

    step_offsets: quarters of an octave to try around the step that high-resolution theory gives for `exchange`.
    exponent_stride: quarters of an octave between the exponents that rows and columns may have; 0 for none.
    """

    exchange: float = 10.0
    step_offsets: tuple[int, ...] = (0,)
    exponent_stride: int = 4
    damping: float = 0.01
    sensitivity_windows: int = 32
    seed: int = 0
    tuning: Tuning = Tuning()
