"""Training of a small GPT-NeoX language model on the first rows of a stream, in one pass or in several.

AdamW with linear warm-up and cosine decay, gradient clipping by norm, one window per row. On one number of threads the same
settings give the same weights bit for bit on one machine.
"""

import math
from dataclasses import astuple, dataclass

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound.errors import InputError
from scalebound.models.flat_weights import FlatWeights
from scalebound.models.unfinished import NOWHERE
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

    def state(self):
        """All that `restore` needs, as tensors and numbers in dicts."""
        return {"steps": self.steps, "weights": self.weights.values, "average": self.average, "optimizer": self._optimizer.state_dict()}

    def restore(self, state):
        """Go on from the `state` of a training by the same run."""
        self.steps = state["steps"]
        self.weights.values.copy_(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.copy_(state["average"])


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


def train(run, rows, keep, name="model", unfinished=NOWHERE):
    """Train on rows [0, run.rows), from the first again in each epoch; returns the list of `Step` and the averaged weights.

    `keep(step, model)` is called for every kept step, at the end. `unfinished`, a models.unfinished.Unfinished, is where a process
    that takes the place of one that was ended goes on from. Of averaged weights there is {step: {parameter name: float32 tensor}} for
    every step of a reference; they have seen the rows before row step * batch_rows, and no other.

    Raises:
        InputError: the stream is too short, or the loss is no longer finite.
    """
    check_rows(run, rows, name)
    course, tokens_of_batch = _Course(run, rows), run.batch_rows * (rows.row_tokens - 1)
    course.restore(unfinished.restore())
    training = course.training
    with progress(run.steps * tokens_of_batch, "tokens", f"train {name} on cpu", training.steps * tokens_of_batch) as bar:
        for step in range(training.steps + 1, run.steps + 1):
            tokens = tokens_of_step(run, rows, step)
            loss, _ = training.update(tokens[:, :-1], tokens[:, 1:])
            if not math.isfinite(loss):
                raise InputError(f"training.{name}", f"loss {loss} at step {step}", "Lower learning_rate or raise warmup_steps")
            course.note(Step(step, run.rows_seen(step) * (rows.row_tokens - 1), loss, learning_rate(run, step - 1)))
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(tokens_of_batch)
            unfinished.keep(course.state)
    for step, values in course.kept.items():
        training.weights.values.copy_(values)
        keep(step, training.model)
    return course.history, {step: training.weights.named(values) for step, values in course.averages.items()}


class _Course:
    """A training and what it has kept on its way: `history`, list of Step; `kept` and `averages`, float32 [parameters] by step."""

    def __init__(self, run, rows):
        self.training, self.history, self.kept, self.averages = Training(run, rows.row_tokens, rows.vocab_size), [], {}, {}
        self._keeps, self._references = set(run.kept_steps()), set(run.reference_steps())

    def note(self, step):
        self.history.append(step)
        if step.step in self._keeps:
            self.kept[step.step] = self.training.weights.values.clone()
        if step.step in self._references:
            self.averages[step.step] = self.training.average.clone()

    def state(self):
        history = [astuple(step) for step in self.history]
        return {"training": self.training.state(), "history": history, "kept": self.kept, "averages": self.averages}

    def restore(self, state):
        if state is None:
            return
        self.training.restore(state["training"])
        self.history, self.kept, self.averages = [Step(*step) for step in state["history"]], state["kept"], state["averages"]
