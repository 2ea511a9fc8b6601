"""Which targets a scan's large tables are cut at: one part, and one task, per block of targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cluster.compare.pairs import Known, Reduction, TileJob
from depara.identity import short_hash
from depara.store.schemas import TABLES

PART_PAIRS = 1 << 19
"""Pairs of one part: 100 MB in memory, some MB as a file. Fewer pairs than that are one file."""

PARTED = ("similarity", "model_ranking", "layer_ranking", "lambda_ranges", "lambda_ranking")
"""The tables that are in parts when the similarity table is, beside those of uncertainty."""


@dataclass(frozen=True)
class TablePart:
    """A block of targets whose rows one task writes.

    ``targets`` are places in the reduction, ``models`` their models. ``number`` is None where the
    tables are one file each; ``key`` is then empty, else the identity of what its rows follow from.
    """

    targets: tuple[int, ...]
    models: tuple[str, ...] = ()
    number: int | None = None
    key: str = ""

    @property
    def is_first(self) -> bool:
        """Whether its task writes what is not in parts as well."""
        return not self.number


def table_parts(reduction: Reduction) -> list[TablePart]:
    """Returns the parts of a scan's tables: one of all targets where they are few enough.

    All graphs of a target model are in one part, and the parts in order of the models' names: a
    target's rows, and with them its rankings, are in one place.
    """
    if reduction.num_pairs <= PART_PAIRS:
        return [TablePart(tuple(range(len(reduction.targets))))]
    by_model: dict[str, list[int]] = {}
    for place, graph in enumerate(reduction.targets):
        by_model.setdefault(graph.model_id, []).append(place)
    blocks: list[list[str]] = []
    size = PART_PAIRS
    for model in sorted(by_model):
        pairs = _pairs_with(reduction, by_model[model])
        if size + pairs > PART_PAIRS:
            blocks.append([])
            size = 0
        blocks[-1].append(model)
        size += pairs
    base = _zoo_key(reduction)
    parts = []
    for number, models in enumerate(blocks):
        places = tuple(place for model in models for place in by_model[model])
        of_part: dict[str, Any] = {"zoo": base}
        of_part["targets"] = [reduction.targets[place].key for place in places]
        if reduction.chosen is not None:
            of_part["models"] = reduction.chosen.models_BK[list(places)].tolist()
        key = short_hash(of_part)
        parts.append(TablePart(places, tuple(models), number, key))
    return parts


def _pairs_with(reduction: Reduction, targets: Sequence[int]) -> int:
    if reduction.chosen is not None:
        return int(reduction.chosen.counts_B[list(targets)].sum())
    return len(reduction.sources) * len(targets)


def _zoo_key(reduction: Reduction) -> str:
    """Identity of what the rows of every part follow from, beside its targets."""
    similarity = reduction.config.similarity
    return short_hash(
        {
            "sources": [
                [g.model_id, g.layer, g.depth, g.key, g.is_output, g.null_of]
                for g in reduction.sources
            ],
            "terms": similarity.terms,
            "layer_terms": similarity.own_layer_terms,
            "scores": list(similarity.computed_scores),
            "num_probes": reduction.num_probes,
            "columns": {name: TABLES[name].names for name in PARTED},
        }
    )


def tiles_of(part: TablePart, jobs: Sequence[TileJob]) -> list[int]:
    """Returns which of the tiles hold pairs with a part's targets."""
    wanted = set(part.targets)
    return [
        index
        for index, job in enumerate(jobs)
        if not wanted.isdisjoint(job.columns) or (job.mirrored and not wanted.isdisjoint(job.rows))
    ]


@dataclass(frozen=True)
class KnownPart:
    """A part that an earlier scan has written: its number there, and its facts by table."""

    scan_id: str
    number: int
    facts: dict[str, dict[str, Any]]


def known_part(part: TablePart, known: Known | None) -> KnownPart | None:
    """Returns the part of an earlier scan that is the very same, or None."""
    if known is None or part.number is None:
        return None
    for number, fact in enumerate(known.fact.get("parts", ())):
        if fact.get("key") != part.key:
            continue
        facts = {name: known.facts.get(name, {}).get("parts", ()) for name in PARTED}
        if all(number < len(parts) for parts in facts.values()):
            return KnownPart(
                known.scan_id, number, {name: parts[number] for name, parts in facts.items()}
            )
    return None
