"""Stochastic Lanczos quadrature: a spectral density from the recurrences of random vectors (numpy only).

Of a random vector v of unit length with independent signs, v^T f(H) v has mean tr f(H) / n, and k steps of Lanczos give
it by Gauss' rule: k nodes and weights, exact for polynomials up to degree 2 k - 1 (Golub and Welsch 1969; Ubaru, Chen,
Saad 2017). The nodes at the ends are the extreme eigenvalues as far as they have converged.
"""

import numpy as np
from scipy.linalg import eigh_tridiagonal


def gauss_rule(alpha, beta):
    """(nodes ascending [k], weights [k] with sum 1, residuals [k]) of the tridiagonal matrix of a recurrence.

    An eigenvalue of the operator lies within the residual of each node.
    """
    alpha, beta = np.asarray(alpha, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    nodes, vectors = eigh_tridiagonal(alpha, beta[:-1])
    return nodes, vectors[0] ** 2, np.abs(beta[-1] * vectors[-1])


def signs(seed, probe, size):
    """The probe of a number: independent signs, float64 [size], over the square root of their number."""
    drawn = np.random.default_rng([seed, probe]).integers(0, 2, size, dtype=np.int8)
    return (2.0 * drawn - 1.0) / np.sqrt(size)


def mean_and_error(values):
    """Mean over probes and its standard error; the error of a single probe is not known (NaN)."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def integral(rules, function):
    """(mean, standard error) over probes of the integral of `function` under the density; `rules` are (nodes, weights)."""
    return mean_and_error([float((weights * function(nodes)).sum()) for nodes, weights in rules])


def described(alpha, beta):
    """The rule of a recurrence as lists: {nodes, weights, residuals}."""
    return dict(zip(("nodes", "weights", "residuals"), (part.tolist() for part in gauss_rule(alpha, beta))))
