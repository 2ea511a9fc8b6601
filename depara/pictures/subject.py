"""What a picture is of: one graph of a scan, its name as shown, and what its notes say of it."""

from __future__ import annotations

from dataclasses import dataclass

from depara.pictures.files import shortened
from depara.results import ScanResults
from depara.texts import shown_line

NOTE_MARK = "~"
"""Stands beside the name of a graph whose maps or edges mean little, as in the scan's summary."""

_KINDS = ("conditioning", "constant")


@dataclass(frozen=True)
class Subject:
    """One model at one layer; ``note`` is what the scan noted of its numbers, None: nothing."""

    model: str
    layer: str
    note: str | None

    def title(self, length: int = 50) -> str:
        """Returns the name as a title shows it, of about this length, marked where it has a note.

        A long name loses its middle, the model's or the layer's, whichever is longer.
        """
        room = length - len(" at  ~")
        model, layer = (len(shown_line(name)) for name in (self.model, self.layer))
        if model + layer > room:
            half = room // 2
            model, layer = max(half, room - layer), max(half, room - model)
        mark = f" {NOTE_MARK}" if self.note else ""
        return f"{shortened(self.model, model)} at {shortened(self.layer, layer)}{mark}"

    def warning(self) -> list[str]:
        """Returns what a picture says at its foot: the note, or nothing."""
        if self.note is None:
            return []
        return [shown_line(f"{NOTE_MARK} {shortened(self.model, 40)}: {self.note}")]


def find_subject(scan: ScanResults, model: str, layer: str | None = None) -> Subject:
    """Returns a graph of a scan by its model and layer, by default the output layer.

    Raises:
        ConfigError: the scan has no such model or layer.
    """
    found = scan.output_layer(model) if layer is None else layer
    scan.graph_key(model, found)
    notes = scan.table("notes")
    here = (notes["model_id"] == model) & notes["kind"].isin(_KINDS)
    here &= (notes["stage"] == "extract") & (notes["layer"].isna() | (notes["layer"] == found))
    messages = notes.loc[here, "message"].tolist()
    return Subject(model, found, messages[0] if messages else None)


def find_other(scan: ScanResults, text: str) -> Subject:
    """Returns the graph that ``MODEL`` or ``MODEL:LAYER`` names.

    Raises:
        ConfigError: the scan has no such model or layer.
    """
    model, separator, layer = text.partition(":")
    return find_subject(scan, model, layer if separator else None)
