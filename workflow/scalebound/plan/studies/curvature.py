"""What the spectra of input moments and of the loss Hessian say of rounding weights.

results/{family}/{slug}/curvature/spectra.parquet   eigenvalues of the input second moment of every linear layer
results/{family}/{slug}/curvature/hessian.json      nodes and weights of stochastic Lanczos quadrature, or why there are none
results/{family}/spectra.csv                        one row for each checkpoint and layer
results/{family}/hessian.csv                        one row for each checkpoint: trace, ends, shares
results/{family}/hessian_nodes.csv                  one row for each checkpoint, probe and node
"""

from scalebound.plan.rule import CHECKPOINT, Rule
from scalebound.plan.stages.checkpoints import RESOLVED, windows_of
from scalebound.plan.stages.family import table
from scalebound.plan.study import Study

SPECTRA, HESSIAN = f"{CHECKPOINT}/curvature/spectra.parquet", f"{CHECKPOINT}/curvature/hessian.json"


def rules(plan):
    read = {"model": RESOLVED, "calibration": windows_of("calibration")}
    device, hessians = (lambda w: {"device": plan.config.scoring.device}), {"hessians": lambda w: plan.files_of(w.family, HESSIAN)}
    spectra = {"models": lambda w: plan.files_of(w.family, RESOLVED), "spectra": lambda w: plan.files_of(w.family, SPECTRA)}
    return [
        Rule(
            "moments",
            "moments",
            inputs=read,
            outputs={"out": SPECTRA},
            record=f"{CHECKPOINT}/curvature/moments.run.json",
            options=device,
            threads=True,
            gpu=True,
        ),
        Rule(
            "hessian",
            "hessian",
            inputs=read,
            outputs={"out": HESSIAN},
            record=f"{CHECKPOINT}/curvature/hessian.run.json",
            settings=lambda w: plan.config.studies.hessian.model_dump(),
            options=device,
            threads=True,
            gpu=True,
        ),
        table("spectra", "spectra.csv", name="spectra", inputs=spectra),
        table("hessian-summary", "hessian.csv", name="hessian_summary", inputs=hessians),
        table("hessian-nodes", "hessian_nodes.csv", name="hessian_nodes", inputs=hessians),
    ]


STUDY = Study(("spectra.csv", "hessian.csv", "hessian_nodes.csv"), {"spectra": "spectra.csv", "hessian": "hessian_nodes.csv"}, rules)
