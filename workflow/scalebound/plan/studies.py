"""The studies: what can be asked of a family beside its bounds, each a target of its own (`snakemake trajectory`).

A study ends in tables of the family, results/<family>/<table>, and in figures that are drawn from one table each. Its
rules are in rules/<study>.smk, its settings in `study_settings.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Study:
    """`tables`: the files of the family that it ends in. `figures`: {figure: the table that it is drawn from}."""

    tables: tuple
    figures: dict


STUDIES = {
    "information": Study(
        ("information.csv", "loss_curves.csv", "scaling_law.csv"),
        {"information": "information.csv", "scaling_law": "information.csv"},
    ),
    "gap_law": Study(("gap_law.csv", "gap_exponents.csv"), {"gap_law": "gap_law.csv"}),
    "ablations": Study(("ablations.csv",), {"ablations": "ablations.csv"}),
    "overtraining": Study(("overtraining.csv",), {"overtraining": "overtraining.csv"}),
    "trajectory": Study(("trajectory.csv",), {"trajectory": "trajectory.csv"}),
    "baselines": Study(("baselines.csv",), {"baselines": "baselines.csv"}),
    "quantizability": Study(("quantizability.csv",), {"quantizability": "quantizability.csv"}),
    "curvature": Study(("spectra.csv", "hessian.csv", "hessian_nodes.csv"), {"spectra": "spectra.csv", "hessian": "hessian_nodes.csv"}),
}


def figures_of(names):
    """{figure: table} of the given studies."""
    return {figure: table for name in names for figure, table in STUDIES[name].figures.items()}
