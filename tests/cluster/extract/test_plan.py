"""The plan: what is missing, each graph once, ranges that cover the probes, longest first."""

from __future__ import annotations

from dataclasses import replace

from cluster.extract.plan import ScanPlan, make_plan
from cluster.extract.units import CommitUnit, ExtractUnit
from depara.config import ScanConfig, parse_scan
from depara.types import InputSpec, LayerInfo, ModelCard

SCAN = """
probes: {source: x}
models:
  - {id: a, source: "torchvision:resnet18"}
  - {id: b, source: "torchvision:vgg11"}
  - {id: c, source: "torchvision:vgg11"}
compute: {unit_probes: 40}
"""


def config(*overrides: str) -> ScanConfig:
    return parse_scan(SCAN, overrides).config


def card(model_id: str, weights: str, seconds: float = 0.1) -> ModelCard:
    layers = tuple(LayerInfo(f"l{i}", i, (i + 1) / 2, 8, (8,)) for i in range(2))
    spec = InputSpec(224, (0.5,) * 3, (0.5,) * 3)
    return ModelCard(model_id, "s", "arch", weights, 1, spec, layers, "l1", seconds)


def plan(committed: frozenset[int] = frozenset(), *cards: ModelCard) -> ScanPlan:
    """A plan in which those of all graph keys, counted in order, are committed."""
    chosen = cards or (card("a", "1"), card("b", "2", 0.5), card("c", "3"))
    return make_plan(
        config(), chosen, "set", 100, lambda keys: {keys[place] for place in committed}
    )


def test_a_fresh_scan_computes_every_graph_longest_model_first() -> None:
    fresh = plan()
    assert (fresh.num_graphs, fresh.num_missing) == (6, 6)
    groups = {group.name: group for group in fresh.groups()}
    assert groups["b"].seconds > groups["a"].seconds
    units = groups["a"].units
    assert [len(u.probes) for u in units if isinstance(u, ExtractUnit)] == [33, 34, 33]
    assert isinstance(units[-1], CommitUnit)
    assert list(units[-1].job.graph_keys) == ["l0", "l1"]


def test_committed_graphs_are_not_computed_again() -> None:
    partly = plan(frozenset({0, 1, 2}))
    assert partly.num_missing == 3
    jobs = {g.name: g.units[-1].job.graph_keys for g in partly.groups()}  # type: ignore[union-attr]
    assert set(jobs) == {"b", "c"}
    assert list(jobs["b"]) == ["l1"]
    assert plan(frozenset(range(6))).groups() == []


def test_models_with_the_same_weights_are_computed_once() -> None:
    twins = plan(frozenset(), card("a", "1"), card("b", "2"), card("c", "2"))
    assert [group.name for group in twins.groups()] == ["a", "b"]
    assert twins.models[1].graphs[0].key == twins.models[2].graphs[0].key


def test_a_model_without_a_card_is_left_out() -> None:
    rest = plan(frozenset(), card("a", "1"), card("c", "3"))
    assert [model.card.model_id for model in rest.models] == ["a", "c"]


def test_a_deep_model_gets_smaller_ranges_nested_in_the_others() -> None:
    small = replace(plan(), config=config("compute.memory=64MiB"))
    assert small.ranges_for(1) == small.ranges
    deep = small.ranges_for(10)
    assert max(len(probes) for probes in deep) * 10 * 224 * 224 * 2 <= 8 * 1024**2
    assert [probes.start for probes in deep] == [0, *(probes.stop for probes in deep[:-1])]
    assert {probes.stop for probes in small.ranges} <= {probes.stop for probes in deep}
    assert all(len(probes) == 1 for probes in small.ranges_for(10_000))


def test_bytes_grow_with_missing_graphs_and_maps() -> None:
    rest = 4950 * 12 + 5050 * 24  # edges, and pairs of Grams with themselves
    assert plan().bytes_to_write == 6 * (100 * 224 * 224 * 2 + rest)
    small = replace(plan(), config=config("attribution.map_side=56"))
    assert small.bytes_to_write == 6 * (100 * 56 * 56 * 2 + rest)
    several = replace(plan(), config=config("attribution.method=gradient_field"))
    assert several.bytes_to_write == 6 * (100 * 5 * 224 * 224 * 2 + rest)


def test_a_node_of_several_maps_gets_smaller_ranges() -> None:
    memory, method = "compute.memory=64MiB", "attribution.method=gradient_field"
    several = replace(plan(), config=config(memory, method, "attribution.points=8"))
    longest = max(len(probes) for probes in several.ranges_for(2))
    assert longest * 2 * 8 * 224 * 224 * 2 <= 8 * 1024**2
    assert longest < max(len(probes) for probes in plan().ranges)


def test_two_scans_at_once_begin_at_different_ends() -> None:
    cards = [card(f"m{number}", str(number)) for number in range(20)]
    many = make_plan(
        parse_scan(
            "probes: {source: x}\nmodels:\n"
            + "".join(f"  - {{id: m{n}, source: 'torchvision:resnet18'}}\n" for n in range(20))
        ).config,
        cards,
        "set",
        100,
        lambda keys: set(),
    )

    def order(rank: int) -> list[str]:
        return [g.name for g in sorted(many.groups(rank), key=lambda g: (-g.seconds, g.name))]

    first, second, third = order(0), order(1), order(2)
    assert second == first[::-1], "they meet in the middle"
    assert third == first[10:] + first[:10]
    assert sorted(order(3)) == sorted(first)


def test_damaged_graphs_alone_are_missing_afterwards() -> None:
    done = plan(frozenset(range(6)))
    key = done.models[1].graphs[0].key
    again = done.with_missing({key})
    assert [g.key for model in again.models for g in model.missing] == [key]
    assert [group.name for group in again.groups()] == ["b"]
