"""Exact transport: against a linear programme, every assignment, and what it must be by hand."""

from __future__ import annotations

import numpy as np
import pytest

from depara.domains.transport import _assigned, _programmed, coupling, transport
from depara.errors import ConfigError
from tests.oracle import domains as oracle

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("num", "other"), [(5, 5), (4, 6), (3, 7), (1, 5), (8, 2), (10, 9)])
def test_it_is_the_least_cost_of_all_couplings(num: int, other: int):
    one, two = RNG.standard_normal((num, 3)), RNG.standard_normal((other, 3)) + 1
    plan, cost = transport(one, two)
    assert cost == pytest.approx(oracle.emd(one, two), rel=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / other, rtol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / num, rtol=1e-12)
    assert (plan >= 0).all()


def test_of_equal_numbers_it_is_the_best_assignment():
    one, two = RNG.standard_normal((6, 2)), RNG.standard_normal((6, 2))
    assert transport(one, two)[1] == pytest.approx(oracle.emd_of_equals(one, two), rel=1e-12)


def test_on_a_line_it_is_the_area_between_the_distributions():
    assert transport(np.array([[0.0], [1.0]]), np.array([[5.0]]))[1] == pytest.approx(4.5)
    one = RNG.standard_normal((40, 1))
    assert transport(one, one + 3.0)[1] == pytest.approx(3.0)


def test_both_ways_of_solving_agree():
    cost = RNG.random((6, 9))
    values = [(plan * cost).sum() for plan in (_assigned(cost, 18), _programmed(cost))]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_it_is_a_distance():
    one, two, three = (RNG.standard_normal((n, 4)) for n in (6, 8, 12))
    assert transport(one, one)[1] == 0.0
    assert transport(one, two)[1] == pytest.approx(transport(two, one)[1], rel=1e-9)
    assert transport(one, three)[1] <= transport(one, two)[1] + transport(two, three)[1]
    again = np.vstack([one, one])  # each sample twice is the same distribution
    assert transport(again, two)[1] == pytest.approx(transport(one, two)[1], rel=1e-9)


def test_numbers_that_would_take_too_long_are_refused_with_a_way_out():
    with pytest.raises(ConfigError, match=r"701 samples to 601 .*equal numbers of probes"):
        coupling(np.zeros((701, 601)))
