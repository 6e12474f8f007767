"""Training of a small GPT-NeoX language model on the first rows of a stream, in one pass or in several.

AdamW with linear warm-up and cosine decay, gradient clipping by norm, one window per row. On one thread the same
settings give the same weights bit for bit on one machine.
"""

import math
from dataclasses import dataclass

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound.errors import InputError
from scalebound.models.flat_weights import FlatWeights
from scalebound.progress import progress


def build_model(run, row_tokens, vocab_size):
    """A GPT-NeoX model with untied embeddings, as Pythia's, initialised from `run.seed`."""
    config = GPTNeoXConfig(
        vocab_size=vocab_size,
        hidden_size=run.hidden_size,
        num_hidden_layers=run.layers,
        num_attention_heads=run.heads,
        intermediate_size=4 * run.hidden_size,
        max_position_embeddings=row_tokens - 1,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": run.rotary_fraction},
        hidden_act="gelu",
        use_parallel_residual=True,
        initializer_range=run.initializer_range,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    torch.manual_seed(run.seed)
    return GPTNeoXForCausalLM(config)


def learning_rate(run, step):
    """Rate of optimizer step `step` (from 0): linear warm-up, then cosine to `final_learning_rate_fraction`."""
    if step < run.warmup_steps:
        return run.learning_rate * (step + 1) / run.warmup_steps
    done = (step - run.warmup_steps) / max(1, run.steps - run.warmup_steps)
    floor = run.final_learning_rate_fraction
    return run.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class Step:
    """One optimizer step: its number (from 1), distinct predictions seen after it, and the batch's mean loss before it (nats)."""

    step: int
    tokens_seen: int
    loss: float
    learning_rate: float


class Training:
    """A model in training by the settings of a run: `model`, its `weights` (FlatWeights), the `steps` that were done.

    `average`, float32 [parameters], are the weights averaged over the steps so far, as `run.references` says; None where a run keeps none.
    """

    def __init__(self, run, row_tokens, vocab_size):
        self.run, self.steps = run, 0
        self.model = build_model(run, row_tokens, vocab_size).train()
        self.weights = FlatWeights(self.model, run.weight_decay)
        self.average = self.weights.values.clone() if run.references else None
        self._optimizer = torch.optim.AdamW(self.weights.groups, lr=run.learning_rate, betas=(0.9, run.beta2), fused=True)

    def update(self, inputs, targets):
        """One optimizer step on ids [rows, length]; (the mean loss before it in nats, its logits [rows, length, V])."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.run, self.steps)
        self.weights.gradients.zero_()
        logits = self.model(input_ids=inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        self.weights.clip(self.run.clip_norm)
        self._optimizer.step()
        self.steps += 1
        if self.average is not None:
            self.average.lerp_(self.weights.values, 1 / (1 + self.run.references.share * self.steps))
        return loss.item(), logits.detach()


def rows_of_step(run, step):
    """Numbers of the rows of optimizer step `step` (from 1), counted on through all passes."""
    return range((step - 1) * run.batch_rows, step * run.batch_rows)


def tokens_of_step(run, rows, step):
    """What it reads: int64 [batch_rows, row_tokens]."""
    return torch.from_numpy(rows.read([row % run.rows for row in rows_of_step(run, step)]).astype("int64"))


def check_rows(run, rows, name):
    """Raise InputError where a stream is too short for a run."""
    if run.rows > len(rows):
        raise InputError(f"training.{name}", f"needs {run.rows} rows, the stream has {len(rows)}", "Lower steps or batch_rows")


def train(run, rows, keep, name="model"):
    """Train on rows [0, run.rows), from the first again in each epoch; returns the list of `Step` and the averaged weights.

    `keep(step, model)` is called at every kept step. Of averaged weights there is {step: {parameter name: float32 tensor}} for
    every step of a reference; they have seen the rows before row step * batch_rows, and no other.

    Raises:
        InputError: the stream is too short, or the loss is no longer finite.
    """
    check_rows(run, rows, name)
    training, predictions = Training(run, rows.row_tokens, rows.vocab_size), rows.row_tokens - 1
    kept, references, averages, history = set(run.kept_steps()), set(run.reference_steps()), {}, []
    with progress(run.steps * run.batch_rows * predictions, "tokens", f"train {name} on cpu") as bar:
        for step in range(1, run.steps + 1):
            tokens = tokens_of_step(run, rows, step)
            loss, _ = training.update(tokens[:, :-1], tokens[:, 1:])
            if not math.isfinite(loss):
                raise InputError(f"training.{name}", f"loss {loss} at step {step}", "Lower learning_rate or raise warmup_steps")
            history.append(Step(step, run.rows_seen(step) * predictions, loss, learning_rate(run, step - 1)))
            if step in kept:
                keep(step, training.model)
            if step in references:
                averages[step] = training.weights.named(training.average)
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(run.batch_rows * predictions)
    return history, averages
