"""What a study is: tables of a family, figures that are drawn from them, and the jobs that make the tables."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Study:
    """tables: files of the family, results/<family>/<table>, that it ends in. figures: {figure: the table that it is drawn from}.

    rules: function of a plan.Plan that returns the rules of the study's own jobs; those of other studies may make its inputs.
    """

    tables: tuple
    figures: dict
    rules: Callable
