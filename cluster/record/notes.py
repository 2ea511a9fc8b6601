"""The notes of a scan: what was noticed of its models and graphs, model by model, and in short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.extract.plan import ModelPlan
from cluster.record.graph_facts import GraphFacts
from depara.types import Note

_PLACES_SHOWN = 3


@dataclass(frozen=True)
class ModelNote:
    """One row of the ``notes`` table: a note, its model, and the stage that noticed it."""

    model_id: str
    stage: Literal["resolve", "extract"]
    note: Note


@dataclass(frozen=True)
class Matter:
    """One message, with the models and layers that it is about in a few words."""

    kind: str
    message: str
    places: str


def model_notes(
    plans: Sequence[ModelPlan], facts: Mapping[str, GraphFacts]
) -> tuple[ModelNote, ...]:
    """Returns the notes of some models, each once: of their opening, then of their graphs.

    Args:
        plans: the models.
        facts: of their graphs by key; graphs that are not in it have no notes.
    """
    found: dict[ModelNote, None] = {}
    for plan in plans:
        name = plan.card.model_id
        found |= dict.fromkeys(ModelNote(name, "resolve", note) for note in plan.card.notes)
        for graph in plan.graphs:
            notes = facts.get(graph.key, GraphFacts()).notes
            found |= dict.fromkeys(ModelNote(name, "extract", note) for note in notes)
    return tuple(found)


def matters_of(notes: Sequence[ModelNote]) -> list[Matter]:
    """Returns each message once, in the order of its first note."""
    places: dict[tuple[str, str], dict[str, None]] = {}
    for one in notes:
        layer = "" if one.note.layer is None else f" at {one.note.layer}"
        places.setdefault((one.note.kind, one.note.message), {})[f"{one.model_id}{layer}"] = None
    return [Matter(kind, text, _in_short(list(names))) for (kind, text), names in places.items()]


def _in_short(names: list[str]) -> str:
    shown = ", ".join(names[:_PLACES_SHOWN])
    rest = len(names) - _PLACES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown
