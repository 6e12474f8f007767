"""The Azuma bound for token losses (Lotfi, Kuang et al., "Unlocking Tokens as Data Points", NeurIPS 2024)."""

import numpy as np


def azuma_bound(mean_loss, worst, c):
    """mean X + D sqrt(C / 2), in nats per token, for losses in an interval of length at most D."""
    return mean_loss + worst * np.sqrt(c / 2)
