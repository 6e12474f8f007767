"""References, loaded one after the other: earlier models of a run, as it averaged them or as they were released."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scalebound.artifacts.provenance import file_sha256
from scalebound.errors import InputError
from scalebound.models import files, loading


class References:
    """The models of an artifacts.history.History, which `where` holds, on a torch device; `causality` collects what their checks found, by step.

    averages: path of the file with those that were trained here. model: the description of their later self, whose configuration
    these have.

    Raises:
        InputError: the file of averages is missing or another than the history names.
    """

    def __init__(self, history, where, averages, model, device, dtype, inputs):
        self.history, self.averages, self.model, self.loading = history, averages, model, (device, dtype, inputs)
        self.causality = {}
        if (averages is None) != (history.averages is None):
            raise InputError(
                where, f"names averages {history.averages}, given are {averages}", "Give averages.safetensors of the run exactly where it names them"
            )
        if averages is not None and file_sha256(averages) != history.averages["sha256"]:
            raise InputError(averages, f"sha256 {file_sha256(averages)}, {where} says {history.averages['sha256']}", "Give the file of this run")

    def models(self, steps):
        """Yield (step, its model; None for step 0, the uniform distribution before the first of them).

        One is loaded at a time. The files of the next are read, compared with their digests and looked through for NaN meanwhile.
        """
        with ThreadPoolExecutor(1) as reader:
            following = None
            for k, step in enumerate(steps):
                (following or reader.submit(self._check, step)).result()
                following = reader.submit(self._check, steps[k + 1]) if k + 1 < len(steps) else None
                yield step, self._load(step)

    def _check(self, step):
        if step and "hub" in self.history.references[step]:
            files.check_description(self.history.references[step], f"reference of step {step}")

    def _load(self, step):
        if step == 0:
            return None
        reference = self.history.references[step]
        if "hub" not in reference:
            return self._average(step)
        model, self.causality[str(step)] = loading.load_described(reference, *self.loading)
        return model

    def _average(self, step):
        """All averages have the configuration of one model, which alone decides whether a prediction sees what comes later: the first is probed."""
        folder, weights = files.folder_of(self.model), [Path(self.averages).resolve()]
        if self.causality:
            return loading.read_model(folder, *self.loading[:2], weights, f"{step}/")
        model, self.causality[str(step)] = loading.load_folder(folder, *self.loading, weights, f"{step}/")
        return model
