"""Whether a model's predictions are predictable, which every bound takes for granted: known before the token that they are about.

The martingales of theory.md, sections 2 and 3, need the prediction at a position to depend on the tokens up to it in its own
window and on what is fixed beforehand. Not on later tokens (no causal mask, or a mask with a hole), not on other windows
of a batch (they may come later in the stream), not on what was computed before, not on chance. The length of a window is
fixed beforehand: a prediction may depend on it (rotary scaling by length), so all passes have the length that will be scored.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import log_softmax

from scalebound.errors import InputError, first_line

# Of the logits' spread. 26 architectures with random weights, on windows of 32 and 256 tokens: 0 where causal, up to 2.6e-6
# in a mixture of experts, whose matrices have as many rows as an expert has tokens; 0.25 to 1.1 in one that is not. Passes that
# are compared have one shape, and so the same rounding; the rest is for devices where that is not so.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
LEAST_SPREAD = 1e-2  # nats; what changes by a thousandth of less does not matter to any bound
LEAST_LOG_PROBABILITY = -50.0  # some models set the logits of entries without a token to the least number that there is
DRAWS = 3
CHUNK = 256  # positions whose probabilities are in memory at once


@dataclass(frozen=True)
class _Passes:
    """Random tokens [rows, inputs] under one model. Its logits are compared by their largest change at a position, as a share of their spread."""

    model: object
    generator: torch.Generator
    inputs: int
    vocabulary: int
    where: object

    def tokens(self, rows=1):
        return torch.randint(self.vocabulary, (rows, self.inputs), generator=self.generator)

    def with_other_tokens_after(self, window, position):
        """Each token after the position is replaced by another one."""
        shift = torch.randint(1, max(2, self.vocabulary), window.shape, generator=self.generator)
        shift[:, : position + 1] = 0
        return (window + shift) % self.vocabulary

    def logits(self, tokens, row=0):
        """[inputs, V] of one row."""
        remedy = f"Give a model that transformers computes on windows of {self.inputs} tokens"
        try:
            found = self.model(input_ids=tokens.to(self.model.device)).logits
        except Exception as error:  # whatever a model of transformers raises on valid tokens, it cannot be scored
            raise InputError(self.where, f"its forward pass fails: {first_line(error)}", remedy) from None
        if found.shape[:2] != tokens.shape:
            raise InputError(self.where, f"logits of shape {tuple(found.shape)} for tokens of shape {tuple(tokens.shape)}", remedy)
        # of several rows a copy, so that those of the others are not kept
        return found[row] if len(tokens) == 1 else found[row].clone()


def positions_to_probe(inputs):
    """Positions after which tokens are changed: the first, some on the way, and the last two that have a later one in the window."""
    wanted = {0, inputs // 5, inputs // 3, inputs // 2, 4 * inputs // 5, inputs - 3, inputs - 2}
    return sorted(position for position in wanted if 0 <= position < inputs - 1)


@torch.no_grad()
def check(model, inputs, where):
    """Refuse a model whose predictions on windows of `inputs` tokens are not predictable; otherwise what was looked at, for identities.

    A change counts if it is there at one position in each of several draws of the tokens: rounding can send a token to
    another expert, but not the one at the same place each time. The draws are always the same: they belong to the question.

    Raises:
        InputError: it sees later tokens, other windows of its batch, its own past or chance, or its logits are not finite.
    """
    positions, tolerance, least = positions_to_probe(inputs), TOLERANCE[model.dtype], None
    vocabulary = model.get_output_embeddings().weight.shape[0]
    for draw in range(DRAWS):
        passes = _Passes(model, torch.Generator().manual_seed(draw), inputs, vocabulary, where)
        changes = _changes(passes, positions)
        least = changes if least is None else torch.minimum(least, changes)
        if least.max() <= tolerance:
            return {"inputs": inputs, "positions": positions, "tolerance": tolerance, "largest_change": float(least.max())}
    _refuse(least, positions, "" if model.dtype == torch.float32 else ". If it is rounding, there will be none in float32", where)


def _changes(passes, positions):
    """[len(positions) + 1, inputs]: with other tokens after each of the positions, up to it; and between batches of other windows."""
    window = passes.tokens()
    base = passes.logits(window)
    changes = torch.zeros(len(positions) + 1, passes.inputs)
    if not torch.isfinite(base.logsumexp(-1)).all():
        return changes.fill_(torch.nan)
    for row, position in enumerate(positions):
        seen = position + 1
        changes[row, :seen] = _apart(passes.logits(passes.with_other_tokens_after(window, position))[:seen], base[:seen])
    first, second = (passes.logits(torch.cat([passes.tokens(), window, passes.tokens()]), row=1) for _ in range(2))
    changes[-1] = _apart(first, second)
    return changes


def _apart(one, other):
    """The largest difference of a log-probability at each position, as a share of their mean spread; logits [positions, V]."""
    if torch.equal(one, other):
        # as it is on a CPU; what is equal to the last bit needs no probabilities, which cost many times the pass that made the logits
        return torch.zeros(len(one))
    differences, spreads = [], []
    for pair in zip(one.split(CHUNK), other.split(CHUNK)):
        here, there = (log_softmax(logits.float(), dim=-1).clamp(min=LEAST_LOG_PROBABILITY) for logits in pair)
        differences.append((here - there).abs().amax(-1))
        spreads.append(_spread(there))
    return (torch.cat(differences) / torch.cat(spreads).mean().clamp(min=LEAST_SPREAD)).cpu()


def _spread(log_probabilities):
    """Standard deviation [positions] over the entries that have a probability."""
    has_one = log_probabilities > LEAST_LOG_PROBABILITY
    count = has_one.sum(-1, keepdim=True)
    mean = torch.where(has_one, log_probabilities, 0.0).sum(-1, keepdim=True) / count
    return (torch.where(has_one, log_probabilities - mean, 0.0).square().sum(-1, keepdim=True) / count).sqrt().squeeze(-1)


def _refuse(changes, positions, hint, where):
    if not torch.isfinite(changes).all():
        raise InputError(where, "its logits are not finite", "Check the weights; use float32 or bfloat16")
    row, position = divmod(int(changes.argmax()), changes.shape[1])
    found = f"its prediction at position {position} of {changes.shape[1]} changes by {float(changes.max()):.2g} of the logits' spread"
    if row < len(positions):
        remedy = "No bound holds for a model that sees what it predicts: is_decoder, is_causal or the like in config.json may be wrong"
        raise InputError(where, f"{found} when tokens after position {positions[row]} do", remedy + hint)
    remedy = "No bound holds for it: a prediction has to follow from the window's own past alone"
    raise InputError(where, f"{found} with the other windows of its batch, or from one pass to the next", remedy + hint)
