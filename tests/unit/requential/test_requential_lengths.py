"""Bits of a student by the formula, by hand."""

import math

import pytest

from scalebound.commands.student import lengths
from scalebound.requential.lengths import KAPPA, step_bits


def test_a_step_takes_its_divergence_twice_the_logarithm_and_a_constant():
    divergence, logarithm, constant = step_bits([3 * math.log(2), 0.0, -1e-9])
    assert divergence.tolist() == [pytest.approx(3), 0.0, 0.0]
    assert logarithm.tolist() == [pytest.approx(4), 0.0, 0.0]
    assert constant.tolist() == [KAPPA] * 3


def test_nominal_bits_leave_logarithm_and_constant_out():
    found = lengths([3 * math.log(2)] * 10, n_params=100)
    assert (found["nominal_bits"], found["code_length_bits"]) == (30, math.ceil(10 * (3 + 4 + KAPPA)))
    assert found["coded_bits_per_param"] == pytest.approx(1.23)
    assert found["formula_bits"] == found["code_length_bits"]


def test_what_was_sent_counts_by_its_bytes():
    found = lengths([3 * math.log(2)] * 10, 100, message=bytes(7))
    # L = 8 n + 2 ceil(log2(8 n + 1)) + 1 with n = 7
    assert found["nominal_bits"] == found["code_length_bits"] == 56 + 2 * 6 + 1
    assert found["formula_bits"] == math.ceil(10 * (3 + 4 + KAPPA))
