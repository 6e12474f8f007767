"""Decoder blocks run one after the other on what the block before put out, over all calibration windows, instead of each from the start.

A block's other arguments (masks, rotary angles, ids) are recorded on a pass of the whole model, and given to it again. That is right where blocks
tell each other nothing but what the next one's first input is, which is tried out on two windows before: the other arguments must not change when
what the blocks put out does, and blocks that are called on their own, the windows taking turns, must put out bit for bit what they did in the
model. With any other model each pass goes from the start.
"""

import contextlib

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from scalebound.models.blockwise import are_apart

PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)


class Replay:
    """States of all windows before the next block, on the CPU, and each block's other arguments."""

    def __init__(self, model, blocks, tokens, windows_per_batch):
        self._device, self._calls, self._states = model.device, [], []
        for batch in batches_of(model, tokens, windows_per_batch):
            calls = _calls(model, blocks, batch)
            self._states.append(calls[0].state.cpu())
            self._calls.append({call.block: call for call in calls})

    @torch.no_grad()
    def run(self, block, advance=False):
        """Call a block, the one that is next, on all windows."""
        for place, calls in enumerate(self._calls):
            state = calls[block].again(self._states[place].to(self._device))
            if advance:
                self._states[place] = state.cpu()
                del calls[block]

    def advance(self, block):
        """Go on to what a block, as its weights are now, puts out; after the last one nothing is."""
        if len(self._calls[0]) > 1:
            self.run(block, advance=True)


@torch.no_grad()
def replay(model, blocks, tokens, windows_per_batch):
    """A Replay of the calibration windows `tokens` [windows, length]; None where blocks have more to do with each other, or are not called in order."""
    if len(blocks) < 2 or not are_apart(model, blocks) or not _is_chain(model, blocks, tokens):
        return None
    return Replay(model, blocks, tokens, windows_per_batch)


def batches_of(model, tokens, windows_per_batch):
    """Integer tensors [windows, length] on the model's device."""
    for start in range(0, len(tokens), windows_per_batch):
        yield torch.as_tensor(tokens[start : start + windows_per_batch], dtype=torch.long, device=model.device)


class _Unlike(Exception):
    """A model whose blocks cannot be called on their own."""


class _Call:
    """One call of a block: its state, which is the output of the block before, and whatever else it was given."""

    def __init__(self, block, args, named, before, copied):
        self.block = block
        leaves, self._form = tree_flatten((args, named))
        if not all(isinstance(leaf, (torch.Tensor, *PLAIN)) for leaf in leaves):
            raise _Unlike
        # the first block's is in the place where that of the others is, which hold the very tensor that came out of the block before
        self.place = next((k for k, leaf in enumerate(leaves) if leaf is before and before is not None), None)
        self.leaves, self.output = [leaf.clone() if copied and isinstance(leaf, torch.Tensor) else leaf for leaf in leaves], None

    def settle(self, place):
        if self.place not in (None, place) or not isinstance(self.leaves[place], torch.Tensor):
            raise _Unlike
        self.place, self.state, self.leaves[place] = place, self.leaves[place], None

    def again(self, state):
        """What the block puts out on another state, and everything else as it was."""
        leaves = [*self.leaves]
        leaves[self.place] = state
        args, named = tree_unflatten(leaves, self._form)
        return _state_of(self.block(*args, **named))


def _calls(model, blocks, batch, copied=False, change=None):
    """[_Call] of each block in a pass over a batch [windows, length], of copies of its tensors where a block might alter them.

    `change` is applied to what blocks put out. Raises _Unlike.
    """
    calls, last = [], [None]

    def before(block, args, named):
        calls.append(_Call(block, args, named, last[0], copied))

    def after(block, args, output):
        last[0] = _state_of(output)
        calls[-1].output = last[0].clone() if copied else None
        if change is None:
            return None
        leaves, form = tree_flatten(output)
        changed = tree_unflatten([change(x) if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in leaves], form)
        last[0] = _state_of(changed)
        return changed

    with contextlib.ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
            stack.callback(block.register_forward_hook(after).remove)
        model.base_model(input_ids=batch)
    if [call.block for call in calls] != [*blocks] or any(call.place is None for call in calls[1:]):
        raise _Unlike
    for call in calls:
        call.settle(calls[1].place)
    return calls


def _state_of(output):
    state = output[0] if isinstance(output, tuple) else output
    if not isinstance(state, torch.Tensor):
        raise _Unlike
    return state


def _is_chain(model, blocks, tokens):
    one = torch.as_tensor(tokens[:1], dtype=torch.long, device=model.device)
    other = torch.as_tensor(tokens[-1:], dtype=torch.long, device=model.device).roll(1, dims=1)
    try:
        first, second = (_calls(model, blocks, batch, copied=True) for batch in (one, other))
        changed = _calls(model, blocks, one, copied=True, change=lambda x: 1.5 * x)
        return all(map(_same_leaves, first, changed)) and _alone_as_in_the_model(first, second)
    except Exception:  # whatever a block raises that is called on its own: it is not made for it
        return False


def _same_leaves(one, other):
    return len(one.leaves) == len(other.leaves) and all(map(_same, one.leaves, other.leaves))


def _same(one, other):
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    return type(one) is type(other) and one == other


def _alone_as_in_the_model(first, second):
    """Whether blocks, called in turns on two windows, put out what they did; the first window again, to see a state that is changed in place."""
    return all(torch.equal(call.again(call.state), call.output) for pair in zip(first, second) for call in (*pair, pair[0]))
