"""Windows through a device, batch by batch: the next batch is on its way while one is computed, results are fetched one batch late, and a
batch that does not fit into memory is halved."""

import torch

from scalebound.errors import InputError


class Batches:
    """Integer `tokens` [windows, row_tokens] on a torch device, `size` windows at a time; `bar` counts predictions."""

    def __init__(self, tokens, size, device, bar):
        self.tokens, self.size, self.device, self.bar = tokens, size, device, bar

    def run(self, windows, compute):
        """Yield (indices of some windows, what `compute` says of them), all of `windows` in order.

        compute: function of int64 ids [batch, row_tokens] on the device that returns one tensor, which is yielded on the CPU.

        Raises:
            InputError: one window alone does not fit into the device's memory.
        """
        todo, waiting = list(windows), None
        while todo:
            some = todo[: self.size]
            try:
                found = _fetched(compute(self._ids(some)))
            except torch.cuda.OutOfMemoryError:
                self._halve()
                continue
            if waiting:
                yield self._done(*waiting)
            todo, waiting = todo[len(some) :], (some, *found)
        if waiting:
            yield self._done(*waiting)

    def _ids(self, windows):
        ids = torch.as_tensor(self.tokens[windows], dtype=torch.long)
        return ids.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else ids.to(self.device)

    def _halve(self):
        if self.size == 1:
            raise InputError("scoring", "one window does not fit into the device's memory", "Use a larger device or bfloat16") from None
        torch.cuda.empty_cache()
        self.size = (self.size + 1) // 2

    def _done(self, windows, found, copied):
        if copied is not None:
            copied.synchronize()
        self.bar.update(len(windows) * (self.tokens.shape[1] - 1))
        return windows, found


def _fetched(found):
    """(the tensor on the CPU, event after which it is there): the copy stands in line behind its own batch, not behind the next."""
    if found.device.type != "cuda":
        return found, None
    host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
    host.copy_(found, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(found.device))
    return host, copied
