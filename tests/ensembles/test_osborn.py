"""OSBORN: the paper's terms, what greedy choice of it is worth, and its domain term."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from depara.domains import Sample, emd, pooled
from depara.ensembles import choose, member, member_of_source, osborn
from depara.ensembles.osborn import coupled_entropy
from depara.labelled import LabelledFeatures
from tests.oracle import domains as oracle
from tests.oracle.grams import grams_of

LABELS = ["a"] * 9 + ["b"] * 7 + ["c"] * 8
NUM = len(LABELS)


def classifier(seed: int, known: str) -> np.ndarray:
    """Logits of four classes that are right about some classes of the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((NUM, 4))
    for column, label in enumerate(known):
        logits[[y == label for y in LABELS], column] += 3.0
    return logits.astype(np.float32)


def features_of(outputs: np.ndarray) -> LabelledFeatures:
    grams = grams_of(np.random.default_rng(0).standard_normal((NUM, 4)))
    return LabelledFeatures.select(grams, LABELS, outputs)


ZOO = {
    f"m{seed}": classifier(seed, known)
    for seed, known in enumerate(["a", "b", "ab", "bc", "abc", "c"])
}
PARTS = {name: member(features_of(outputs)) for name, outputs in ZOO.items()}


def value(names: tuple[str, ...]) -> float:
    return osborn([PARTS[name] for name in names])


def test_it_is_the_papers_sum():
    for names in (("m0",), ("m0", "m3"), ("m1", "m2", "m4")):
        outputs = [ZOO[name].astype(np.float64) for name in names]
        assert value(names) == pytest.approx(oracle.osborn(outputs, LABELS), rel=1e-9)


def test_it_is_submodular():
    names = sorted(PARTS)
    for size in range(5):
        for few in combinations(names, size):
            rest = [name for name in names if name not in few]
            for more, new in ((m, n) for m in rest for n in rest if m != n):
                gain = value((*few, new)) - value(few)
                assert gain >= value((*few, more, new)) - value((*few, more)) - 1e-9


@pytest.mark.parametrize("size", [2, 3, 4])
def test_greedy_is_within_its_guarantee_of_the_best_set_of_a_size(size: int):
    # A constant per member changes no choice among sets of one size; this one makes it monotone.
    names = sorted(PARTS)
    constant = max(
        value(tuple(n for n in names if n != new)) - value(tuple(names)) for new in names
    )
    steps = choose(PARTS, osborn, size, fills=True)
    assert len(steps) == size
    greedy = value(tuple(step.model_id for step in steps)) + constant * size
    best = max(value(some) for some in combinations(names, size)) + constant * size
    assert greedy >= (1 - 1 / np.e) * best
    assert steps[-1].value == pytest.approx(greedy - constant * size)


def test_a_copy_costs_what_its_model_costs_and_nothing_for_the_pair():
    for name, part in PARTS.items():
        assert osborn([part, part]) == pytest.approx(2 * osborn([part]), rel=1e-12)
        renumbered = member(features_of(ZOO[name][:, ::-1]))
        assert osborn([part, renumbered]) == pytest.approx(2 * osborn([part]), rel=1e-12)


def test_who_knows_all_the_labels_costs_nothing():
    known = np.eye(3)[[ord(label) - ord("a") for label in LABELS]].astype(np.float32)
    assert osborn([member(features_of(known))]) == pytest.approx(0.0, abs=1e-12)


def sample(seed: int, labels: list[str | None], shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((len(labels), 5)) + shift
    return Sample("set", "m", vectors, tuple(labels), {})


def test_the_domain_term_is_the_transport_from_the_sources_samples():
    features, target = features_of(ZOO["m0"]), sample(0, [*LABELS])
    for shift in (0.0, 3.0):
        source = sample(1, [None] * 12, shift)
        found = member_of_source(features, source, target)
        domain = emd(*pooled(source.vectors_ND, target.vectors_ND))
        assert found.cost == pytest.approx(PARTS["m0"].cost + domain)
    same = member_of_source(features, sample(0, [None] * NUM), target)
    assert same.cost == pytest.approx(PARTS["m0"].cost, abs=1e-9)


def test_labelled_samples_give_the_task_term_by_the_coupling():
    features, target = features_of(ZOO["m0"]), sample(0, [*LABELS])
    same = member_of_source(features, sample(0, [*LABELS]), target)
    assert same.cost == pytest.approx(0.0, abs=1e-9)  # each probe goes to itself
    source = sample(1, ["x", "y"] * 12)
    plan = np.full((24, NUM), 1 / (24 * NUM))
    spread = coupled_entropy(plan, source.classes, LABELS)
    shares = np.array([9, 7, 8]) / NUM
    assert spread == pytest.approx(-float(np.sum(shares * np.log(shares))))
    assert member_of_source(features, source, target).cost > 0
