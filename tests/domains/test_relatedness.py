"""Task-relatedness: parts by hand, 0 for the same task, and that it bounds what it says it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depara.domains import fit_head, match_classes, relatedness
from depara.domains.relatedness import RIDGES
from tests.oracle import domains as oracle

RNG = np.random.default_rng(0)
CENTRES = 3 * RNG.standard_normal((6, 5))


def task(seed: int, classes: list[int], num: int = 60, shift: float = 0.0):
    """Probes around some of six centres, named after them."""
    rng = np.random.default_rng(seed)
    own = np.array(classes)[np.arange(num) % len(classes)]
    return CENTRES[own] + rng.standard_normal((num, 5)) + shift, [f"c{k}" for k in own]


def least_loss(features: np.ndarray, labels: list[str]) -> float:
    """The head-only loss that training reaches: plain logistic regression by torch, to its end."""
    names = sorted(set(labels))
    targets = torch.tensor([names.index(label) for label in labels])
    x = torch.tensor((features - features.mean(axis=0)) / features.std())
    head = torch.nn.Linear(x.shape[1], len(names)).double()
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(x), targets)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(closure().detach())


def test_of_the_same_task_transport_and_entropy_are_0():
    one = task(0, [0, 1, 2])
    found = relatedness(*one, *one)
    assert (found.transport, found.label_entropy) == (0.0, 0.0)
    assert found.bound == found.source_loss
    assert found.transferred_loss == pytest.approx(found.source_loss, rel=1e-9)
    assert found.matched == ("c0", "c1", "c2")
    renamed = [f"z{label}" for label in reversed(one[1])], one[0][::-1]
    again = relatedness(*one, renamed[1], renamed[0])
    assert again.bound == pytest.approx(found.bound, rel=1e-9)
    assert again.matched == found.matched


@pytest.mark.parametrize(
    ("source", "target", "shift"),
    [
        ([0, 1, 2], [0, 1, 2], 0.0),
        ([0, 1, 2], [0, 1, 2], 1.0),
        ([0, 1, 2], [3, 4, 5], 0.0),
        ([0, 1, 2, 3], [1, 2], 0.0),
        ([0, 1], [0, 1, 2, 3, 4], 0.0),
    ],
)
def test_it_bounds_the_loss_of_the_best_head(source, target, shift):
    one, other = task(0, source), task(1, target, 50, shift)
    found = relatedness(*one, *other)
    best = least_loss(*other)
    assert best <= found.transferred_loss <= found.bound + 1e-9
    assert min(found.source_loss, found.label_entropy, found.transport) >= 0


def test_its_parts_are_those_of_the_paper():
    one, other = task(0, [0, 1]), task(1, [0, 1, 2], 50)
    found = relatedness(*one, *other)
    centre, scale = one[0].mean(axis=0), np.sqrt(one[0].var(axis=0).sum())
    x, y = (one[0] - centre) / scale, (other[0] - centre) / scale
    bounds = []
    for ridge in RIDGES:
        head = fit_head(x, np.array([int(label[1]) for label in one[1]]), 2, ridge)
        tau = np.linalg.norm(head.weights_DK[:, 0] - head.weights_DK[:, 1])
        total, matched = 0.0, []
        for target, name in zip(("c0", "c1", "c2"), found.matched, strict=True):
            own = np.array([label == name for label in one[1]])
            theirs = np.array([label == target for label in other[1]])
            share = theirs.mean()
            losses = -head.log_chances(x)[own, int(name[1])]
            total += share * (losses.mean() + tau * oracle.emd(x[own], y[theirs]))
            matched += [(target, name)] * int(theirs.sum())
        entropy = oracle.conditional_entropy(*zip(*matched, strict=True))
        bounds.append(total + entropy)
    assert found.label_entropy == pytest.approx(entropy)
    assert found.bound == pytest.approx(min(bounds), rel=1e-6)


def test_a_nearer_task_has_the_lower_bound():
    source = task(0, [0, 1, 2])
    values = [relatedness(*source, *task(1, [0, 1, 2], 60, shift)).bound for shift in (0, 1, 4)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_no_bound_depends_on_the_features_unit_or_axes():
    one, other = task(0, [0, 1, 2]), task(1, [1, 2, 3])
    turned = np.linalg.qr(RNG.standard_normal((5, 5)))[0]
    expected = relatedness(*one, *other).bound
    got = relatedness(50 * one[0] @ turned + 3, one[1], 50 * other[0] @ turned + 3, other[1]).bound
    assert got == pytest.approx(expected, rel=1e-5)


def test_classes_are_matched_by_their_means_and_shared_where_there_are_too_few():
    source = np.array([[0.0], [10.0]])
    match = match_classes(source, np.array([[9.0], [1.0]]), np.array([0.5, 0.5]))
    assert list(match.source_T) == [1, 0]
    np.testing.assert_array_equal(match.labels_TK, [[0, 1], [1, 0]])
    assert match.entropy == 0.0
    match = match_classes(source, np.array([[9.0], [1.0], [11.0]]), np.array([0.25, 0.5, 0.25]))
    assert list(match.source_T) == [1, 0, 1]
    np.testing.assert_allclose(match.labels_TK, [[0, 0.5], [1, 0], [0, 0.5]])
    assert match.entropy == pytest.approx(0.5 * np.log(2))
    source = np.array([[0.0], [10.0], [9.5]])
    match = match_classes(source, np.array([[0.0], [10.0]]), np.full(2, 0.5))
    np.testing.assert_array_equal(match.labels_TK, [[1, 0, 0], [0, 1, 1]])


def test_the_head_is_where_the_slope_is_0_and_as_steep_as_it_says():
    x, labels = task(0, [0, 1, 2])
    y = np.array([int(label[1]) for label in labels])
    head = fit_head(x, y, 3, 0.01)
    chances = np.exp(head.log_chances(x))
    slope = x.T @ (chances - np.eye(3)[y]) / len(x) + 0.01 * head.weights_DK
    np.testing.assert_allclose(slope, 0, atol=1e-5)
    np.testing.assert_allclose((chances - np.eye(3)[y]).mean(axis=0), 0, atol=1e-5)
    points = RNG.standard_normal((200, 5)) * 4
    steps = RNG.standard_normal((200, 5)) * 1e-4
    change = np.abs(head.log_chances(points + steps) - head.log_chances(points))
    rates = change / np.linalg.norm(steps, axis=1, keepdims=True)
    assert head.steepness >= rates.max() > 0.3 * head.steepness
