"""References, loaded one after the other: earlier models of a run, as it averaged them or as they were released."""

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

    def load(self, step):
        """The model of a step; None for step 0, the uniform distribution before the first of them."""
        if step == 0:
            return None
        reference = self.history.references[step]
        if "hub" not in reference:
            return self._average(step)
        files.check_description(reference, f"reference of step {step}")
        model, self.causality[str(step)] = loading.load_described(reference, *self.loading)
        return model

    def _average(self, step):
        """All averages have the configuration of one model, which alone decides whether a prediction sees what comes later: the first is probed."""
        folder, weights = files.folder_of(self.model), [Path(self.averages).resolve()]
        if self.causality:
            return loading.read_model(folder, *self.loading[:2], weights, f"{step}/")
        model, self.causality[str(step)] = loading.load_folder(folder, *self.loading, weights, f"{step}/")
        return model
