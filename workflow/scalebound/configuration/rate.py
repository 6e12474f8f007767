"""Settings of the rate path: what a configuration states and a report repeats."""

from typing import Literal

from pydantic import Field

from scalebound.configuration.types import Model, Seed


class Tuning(Model):
    """Straight-through fine-tuning of the codes; the windows come from a draw of their own and are used in order.

    Steps and rates are relative to n, the tokens that the checkpoint was trained on, so that one setting serves a ladder.
    """

    share_of_training: float = Field(0.0, ge=0, description="tokens tuned on, as a share of n; 0: no tuning")
    batch_rows: int = Field(2, ge=1, description="windows in a step")
    learning_rate: float = Field(0.006, gt=0, description="of the real-valued weights behind the codes (Adam) at n = 1e6; falls as 1 / sqrt(n), as steps do")
    price_factor: float = Field(1.4, gt=0, description="price of code while tuning, as a multiple of the exchange: short runs shorten the code too slowly")
    exponent_rate: float = Field(2.0, ge=0, description="of the exponents of the tensors' steps, in quarters of an octave for each unit of learning rate")
    warmup_steps: int = Field(20, ge=0)
    final_learning_rate_fraction: float = Field(0.0, ge=0, le=1)
    beta2: float = Field(0.999, gt=0, lt=1)
    clip_norm: float = Field(100.0, gt=0, description="the gradient of the price is in it: small values hold the tuning up")
    refresh_every: int = Field(10, ge=1, description="steps between two looks at what the codes cost")

    def steps(self, predictions, window_predictions):
        """Optimizer steps for a checkpoint trained on `predictions` tokens."""
        return round(self.share_of_training * predictions / (self.batch_rows * window_predictions))

    def peak_learning_rate(self, predictions):
        return self.learning_rate * (1e6 / predictions) ** 0.5


class RateSettings(Model):
    """How a model is compressed: the rate by theory, by trial, and by tuning."""

    method: Literal["coded"] = "coded"
    exchange: float | None = Field(
        None, gt=0, description="nats of bound that one nat of code per token costs; null: the slope of the bound that is to be certified, price.json"
    )
    step_offsets: tuple[int, ...] = Field(
        (-3,),
        min_length=1,
        strict=False,
        description="quarters of an octave, tried around the step of theory; without tuning the search goes on from their ends",
    )
    exponent_stride: int = Field(4, ge=0, le=24, description="quarters of an octave between the steps of rows and of columns; 0: one step a tensor")
    damping: float = Field(0.01, gt=0, le=1, description="share of the Hessian's mean diagonal added to it")
    sensitivity_windows: int = Field(32, ge=1, description="calibration windows that sensitivities are measured on")
    seed: Seed = Field(0, description="of the labels sampled from the model")
    tuning: Tuning = Tuning()
