"""Before the first job of a run: does the hub answer, if jobs are going to ask it?

Each of them would find out for itself, with patience. Jobs that another machine runs are left to it: it may reach what
this one does not.
"""

from scalebound.errors import InputError


def refuse_without_hub(plan, workflow):
    """Ask the hub once where a job that this machine runs needs it (resource `hf`); print what can be planned without it.

    Raises:
        InputError: it does not answer, or cannot be asked.
    """
    jobs = [job for job in workflow.dag.needrun_jobs() if workflow.local_exec or job.is_local]
    asking = {job.rule.name for job in jobs if job.resources.get("hf")}
    if not asking:
        return
    from scalebound import cli
    from scalebound.hub import reach

    try:
        reach.ask()
    except InputError:
        if "paper_plan" in asking:
            for family in plan.config.families:
                cli.main(["paper-plan", "--offline", "--config", plan.resolved_config(family)])
        raise
