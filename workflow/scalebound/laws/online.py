"""What the online bound (D) is worth under a law of the loss (theory, section 13): regret, second moment, price; nats per token.

Regret. The reference at token d of D is the model as it was after d tokens of the same run, so that Y - X is on average the
law's loss at d minus that at D. Over the positions from a share f of the stream on,

    mean of B (d^-beta - D^-beta) over f D < d < D  =  B D^-beta ((1 - f^(1 - beta)) / ((1 - beta) (1 - f)) - 1),

which for f = 0 is B D^-beta beta / (1 - beta): the information per token. A law is of runs that end at d, with their rate
annealed; a checkpoint in the middle of a longer run is worse than that. Averaging weights takes back a part; what is left
(`excess`) adds to the regret of every position.

Price. With X the smoothed losses, Z = X - Y of mean -regret and variance s2 = mean Z^2 - regret^2, and rooms rho = b + regret,

    (D) - mean X  =  mean b - mean Z - exp(mean log(b - Z) - C)  ~  mean rho - exp(mean log rho - C) (1 - s2 mean rho^-2 / 2),

by log(rho - z) ~ log rho - z / rho - z^2 / (2 rho^2) for the centred z, taken to be independent of rho, and exp(-x) ~ 1 - x (as
it is, a small rho would seem to cost nothing); b = max(m, t) with the best t. The first half of (D) adds less than 0.02 nats from
4e5 tokens on, and less than 0.001 from 1e9 on; it is left out.

- Where t decides, rho is constant: rho (1 - exp(-C)) + exp(-C) s2 / (2 rho), about sqrt(2 C s2) at rho = sqrt(s2 / (2 C)).
- Where m decides, the price is about (1 - exp(-C)) (mean m + regret), however small s2 is: at a fixed number of bits per
  parameter, and so a fixed C, the gap falls with the regret only as far as mean m does.

Does m fall with the divergence? Always m <= log(1 + TV V / a) with TV <= sqrt(KL / 2), the distance of the smoothed
distributions: r^b <= p^a + TV and p^a >= a / V. So m vanishes in the end, but late: where r gives probability d to one token
that h excludes, and agrees with h otherwise, KL is about d and m = log(1 + d V / a), which is small only for d below a / V. A gap
of the order of D^(-beta / 2) at fixed bits therefore needs more than the law: that mean m is of that order too.

Measured on the ladder, plug-in, weights 0.02 and 0.04, C of 0.139 and 0.0624, whole stream and second half, 20k to 106k
parameters: m is spread as a Gamma variable of shape 1.9 to 2.5, mean Z^2 / (2 regret) is 1.3 over the whole stream and 0.7 over
its second half, and the price above is 2% below to 7% above the measured one with shape 2 (24 values; with one m for all
tokens it is 14 to 27% below).
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.stats import gamma

from scalebound.laws.carried_over import nominal_per_token

SHAPE, POINTS = 2.0, 512  # of the spread of m over tokens, and how many of its quantiles stand for it
SECOND_MOMENT = 1.3  # mean Z^2 over twice the regret, measured over whole streams


def regret(law, tokens, start=0.0):
    """Mean loss of the references minus that of the final model, over positions from the share `start` of the stream on.

    Raises:
        InputError: beta >= 1, where the information integral diverges.
    """
    tokens, power = np.asarray(tokens, dtype=np.float64), 1 - law.beta
    whole = law.information(tokens) / tokens
    return whole if start == 0 else law.B * tokens**-law.beta * ((1 - start**power) / (power * (1 - start)) - 1)


def spread(mean):
    """Equally likely m, float64 [POINTS], of that mean: quantiles of a Gamma variable of the measured shape."""
    values = gamma.ppf((np.arange(POINTS) + 0.5) / POINTS, SHAPE)
    return values * mean / values.mean()


def price(c, regret, second_moment, largest):
    """(D) minus mean X at C nats per token, by the formula above; `largest` is m, a number for all tokens or equally likely ones [k]."""
    variance, largest = max(second_moment - regret**2, 0.0), np.atleast_1d(np.asarray(largest, dtype=np.float64))

    def at(level):
        room = np.maximum(largest, level) + regret
        return room.mean() - np.exp(np.log(room).mean() - c) * (1 - variance * np.mean(room**-2.0) / 2)

    # levels below the least m are all the same; none is of use far above the best constant room
    low, high = max(largest.min(), 1e-6), largest.max() + 10 * np.sqrt(variance / (2 * c))
    found = minimize_scalar(lambda x: at(np.exp(x)), bounds=(np.log(low), np.log(high)), method="bounded", options={"xatol": 1e-6})
    return float(min(found.fun, at(low)))


def predicted(law, parameters, tokens, bits, largest, alpha, factor=SECOND_MOMENT, excess=0.0, start=0.0):
    """What (D) is expected to be at b bits for each parameter, one row a model, nats per token.

    {n_params, n_tokens, tokens_per_param, C, regret, second_moment, largest, loss, smoothing, price, gap, bound}: n_tokens is D,
    C that of the positions from `start` on, second_moment 2 factor regret, smoothing its most, -log(1 - alpha). `largest` is the
    mean m, a number or one for each model; no law gives it. Quantization is taken to add no loss. An extrapolation.
    """
    parameters, tokens = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (parameters, tokens)))
    parameters, tokens = np.atleast_1d(parameters), np.atleast_1d(tokens)
    c, behind = nominal_per_token(bits, parameters, tokens) / (1 - start), regret(law, tokens, start) + excess
    moment, largest = 2 * factor * behind, np.broadcast_to(np.asarray(largest, dtype=np.float64), tokens.shape)
    prices = np.array([price(*row, spread(m)) for *row, m in zip(c, behind, moment, largest)])
    loss, smoothing = law.loss(parameters, tokens), -np.log1p(-alpha)
    rows = {"n_params": parameters, "n_tokens": tokens, "tokens_per_param": tokens / parameters, "C": c, "regret": behind, "second_moment": moment}
    rows |= {"largest": largest, "loss": loss, "smoothing": smoothing, "price": prices, "gap": prices + smoothing}
    return pd.DataFrame(rows | {"bound": loss + prices + smoothing})
