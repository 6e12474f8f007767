"""Say for each rule why its jobs would run again: code, settings, inputs, or that they never ran."""

from pathlib import Path

from scalebound.artifacts.provenance import parse_json
from scalebound.audit.reasons import reasons
from scalebound.plan.plan import Plan

GROUP = "reading results"


def add_arguments(parser):
    parser.add_argument("--config", required=True, metavar="JSON", help="the whole configuration, as JSON")


def run(arguments):
    plan = Plan.from_configuration(parse_json(arguments.config, "--config"))
    found = reasons(plan.jobs_behind(plan.targets()), Path())
    for rule, (count, pending, counter) in found.items():
        if pending:
            print(f"{rule:26s}{f'{pending} of {count}':>12s}   {_said(counter)}")
    pending, count = (sum(numbers) for numbers in list(zip(*found.values()))[1::-1])
    print(f"{pending} of {count} jobs would run again" if pending else f"all {count} jobs are current")
    return []


def _said(counter):
    return ", ".join(f"{why} ({times})" if len(counter) > 1 else why for why, times in counter.most_common())
