"""The stages of every run, in the order of the way of the data."""

from scalebound.plan.stages import certificates, checkpoints, corpus, family, figures, quantizers, training

PARTS = (corpus, training, checkpoints, quantizers, certificates, family, figures)


def rules(plan):
    """The rules of all stages; a plan.Plan answers what they ask of the configuration."""
    return [rule for part in PARTS for rule in part.rules(plan)]
