"""What an earlier table of the nearest models is worth once models have come and gone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cluster.compare.choice import Choice, KnownCandidates, choice_key
from depara.nearest.pairs import BestSources
from depara.similarity.stored import GraphRef
from depara.store.schemas import TABLES


def outputs(*names: str) -> list[GraphRef]:
    return [GraphRef(name, "code", 0, f"key of {name}", is_output=True) for name in names]


def estimates(num_models: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num_models, num_models))


def best_of(values_MM: np.ndarray, most: int) -> BestSources:
    """The best others of each of some models by a matrix of targets and sources."""
    count = len(values_MM)
    values_MM = np.where(np.eye(count, dtype=bool), -np.inf, values_MM)
    places = np.argsort(-values_MM, axis=1)[:, : min(most, count - 1)].astype(np.int32)
    found = np.take_along_axis(values_MM, places, axis=1).astype(np.float32)
    return BestSources(places, found, np.full_like(found, 0.01))


def table_of(best: BestSources, names: list[str], wanted: int) -> pa.Table:
    models = outputs(*names)
    table = Choice.of(best, wanted, models, models).table(models, wanted)
    assert table.column_names == TABLES["nearest"].names
    return table.cast(TABLES["nearest"])


def test_the_table_says_what_was_compared() -> None:
    names = ["c", "a", "d", "b"]
    table = table_of(best_of(estimates(4), 3), names, 2)
    frame = table.to_pandas()
    assert frame["target_model"].tolist() == sorted(names * 3)
    assert frame["rank"].tolist() == [1, 2, 3] * 4
    assert frame["compared"].tolist() == [True, True, False] * 4
    known = KnownCandidates.of_table(table, outputs(*names), outputs(*names))
    np.testing.assert_array_equal(known.best.places_BK, best_of(estimates(4), 3).places_BK)
    pairs = {divmod(pair, 4) for pair in known.pairs.tolist()}
    assert pairs == {
        (target, source)
        for target, row in enumerate(known.best.places_BK[:, :2].tolist())
        for source in row
    }
    assert known.is_enough(2).all()
    assert known.num_sure(4).tolist() == [4] * 4


def test_models_that_come_go_and_change() -> None:
    """With new models looked at, the candidates are those of a scan of its own."""
    names = [f"m{number:02}" for number in range(20)]
    values = estimates(22)
    table = table_of(best_of(values[:20, :20], 8), names, 4)
    now = [*names[:3], "x", *names[4:18], names[18], "y"]  # m03 and m19 are gone
    place = [*range(3), 20, *range(4, 18), 18, 21]
    models = outputs(*now)
    models[18] = GraphRef("m18", "code", 0, "other weights", is_output=True)
    known = KnownCandidates.of_table(table, models, outputs(*names))
    assert np.flatnonzero(~known.is_same_M).tolist() == [3, 18, 19]
    assert not known.is_enough(4)[[3, 18, 19]].any()
    assert not known.is_enough(100).any()
    enough = np.flatnonzero(known.is_enough(4))
    assert len(enough) > 5
    of_now = values[np.ix_(place, place)]
    whole = best_of(of_now, 8)
    new = best_of(np.where(known.is_same_M, -np.inf, of_now), 3)
    found = known.best.merged(new, 8).up_to(known.num_sure(8))
    for row in enough.tolist():
        sure = (found.places_BK[row] >= 0).sum()
        assert sure >= 6
        assert found.places_BK[row, :sure].tolist() == whole.places_BK[row, :sure].tolist()


def test_estimates_of_other_terms_are_nothing_but_pairs() -> None:
    names = ["a", "b", "c"]
    table = table_of(best_of(estimates(3), 2), names, 1)
    known = KnownCandidates.of_table(table, outputs(*names), outputs(*names))
    other = known.of_other_terms()
    assert other.pairs.tolist() == known.pairs.tolist()
    assert not other.is_same_M.any()
    assert not other.is_enough(1).any()
    assert choice_key({"node": 1, "gulp": 0}) == choice_key({"node": 1})
    assert choice_key({"node": 1}) != choice_key({"node": 2})
