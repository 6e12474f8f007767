"""What the study `trajectory` has to make: one trajectory for each training run of a family, and points for all other rows."""

from scalebound.scoring.trajectory import steps_of


def runs_of(plan, family):
    """{slug: row} of the trained rows whose kept steps are gone through: of several rows of one run, that of its latest step."""
    latest = {}
    for row in plan.rows_of(family):
        if row.source == "trained" and (row.repo not in latest or row.step > latest[row.repo].step):
            latest[row.repo] = row
    return {row.slug: row for row in latest.values()}


def bounds_along(plan, family):
    """Files with the bounds along training, one for each run."""
    return [f"results/{family}/{slug}/trajectory/bounds.json" for slug in runs_of(plan, family)]


def bounds_of_points(plan, family):
    """Files with the bounds of rows that were not trained here: each is one point of its repository's line."""
    slugs = [row.slug for row in plan.rows_of(family) if row.source != "trained"]
    return [f"results/{family}/{slug}/quantizers/{plan.config.paper_quantizer}/bound/bounds.json" for slug in slugs]


def checkpoint_files(plan, family, slug):
    """The kept checkpoints that the trajectory of a row goes through."""
    row = plan.row(family, slug)
    steps = steps_of(plan.config.training[row.repo], row.step, plan.config.studies.trajectory.max_points)
    return [f"results/training/{row.repo}/step{step}/{name}" for step in steps for name in ("config.json", "model.safetensors")]
