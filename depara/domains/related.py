"""Task-relatedness under every model that two labelled scans share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from depara.domains.relatedness import relatedness
from depara.domains.samples import comparable_samples, require_labelled
from depara.errors import ConfigError
from depara.results import ScanResults


@dataclass(frozen=True)
class RelatedModels:
    """One row per model, least bound first, of equal ones least transferred loss: `Relatedness`.

    ``left_out`` says of each model that the scans share and that cannot be compared why.
    """

    source: str
    target: str
    frame: pd.DataFrame
    left_out: Mapping[str, str]

    def record(self) -> dict[str, object]:
        """Returns everything as JSON-ready values."""
        return {
            "source": self.source,
            "target": self.target,
            "left_out": dict(self.left_out),
            "models": self.frame.to_dict("records"),
        }


def relate_sets(scans: Mapping[str, ScanResults], model: str | None = None) -> RelatedModels:
    """Returns how far the labels of one scan's probes tell of those of another one's.

    Args:
        scans: of the source's probes and of the target's, in this order, by their names.
        model: under this model alone; None is all that the scans share.

    Raises:
        ConfigError: not two scans, probes without labels, no shared model, or features not kept.
        StoreError: a graph is damaged or was collected.
    """
    if len(scans) != 2:
        raise ConfigError("source and target are two probe sets: name two different outputs")
    rows: list[dict[str, object]] = []
    left_out: dict[str, str] = {}
    for samples in comparable_samples(scans, model, left_out):
        source, target = map(require_labelled, samples)
        found = relatedness(source.vectors_ND, source.classes, target.vectors_ND, target.classes)
        parts = {name: value for name, value in asdict(found).items() if name != "matched"}
        row = {"model_id": source.model_id, "bound": found.bound, **parts}
        rows.append({**row, "matched": ", ".join(found.matched)})
    frame = pd.DataFrame(rows).sort_values(["bound", "transferred_loss"], ignore_index=True)
    first, second = scans
    return RelatedModels(first, second, frame, left_out)
