"""What requential coding counts for a student: how far its teacher's distribution was from its own, step by step (numpy only).

Qiu, Finzi, Zheng, Zhang, Wilson, "Requential Coding" (arXiv:2607.11883); earlier form in "From Entropy to Epiplexity"
(arXiv:2601.03220). Step t sends a batch that was drawn from the teacher's distribution Q_t to a decoder that knows the student's,
P_t, and takes no more than

    KL(Q_t || P_t) + 2 log2(1 + KL(Q_t || P_t)) + kappa   bits

by relative entropy coding with randomness that both sides share. The decoder trains the student on the batch, as the encoder does,
and both know P_{t+1}. The constant is stated here as notes on the paper have it.
"""

import math

import numpy as np

KAPPA = 5.21  # bits a step


def step_bits(divergences):
    """(KL, logarithm, constant): bits float64 [steps] each, of KL(Q_t || P_t) in nats; a KL that rounding carried below 0 counts as 0."""
    bits = np.maximum(np.asarray(divergences, dtype=np.float64), 0.0) / math.log(2)
    return bits, 2 * np.log2(1 + bits), np.full_like(bits, KAPPA)


def quantizer_of(source):
    """What a student is called where bounds name the quantizer."""
    return f"requential-{source}"
