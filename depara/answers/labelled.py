"""What to start from for the labelled probes themselves: the target is the data, no model of it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from depara.answers.recommendation import named
from depara.answers.standings import Standing, standings
from depara.catalog import is_of_hard_probes, voters
from depara.errors import ConfigError
from depara.objects import ProbeObjects
from depara.results import ScanResults

CONSENSUS = "consensus"
_TABLE = "label_ranking"
_NUM_FACTS = 9


@dataclass(frozen=True)
class DataRecommendation:
    """The models for the labelled probes, best first by the consensus of the scores with labels.

    ``models`` has one row per model at its output layer: ``rank, model_id, cut, standing,
    mean_rank, rank_low, rank_high, p_first, num_agree``, then the rank by each score but those of
    hard probes; ``cut`` is its best layer by consensus. ``ranking`` is the scan's whole
    ``label_ranking`` table.
    """

    models: pd.DataFrame
    ranking: pd.DataFrame
    num_scores: int
    num_probes: int
    num_classes: int
    num_objects: int = 0
    num_object_classes: int = 0

    @property
    def target(self) -> str:
        """What the models are ranked for: labelled probes, or where there are none, objects."""
        if self.num_probes:
            return f"{self.num_probes} labelled probes of {self.num_classes} classes"
        return f"{self.num_objects} objects of {self.num_object_classes} classes"

    @property
    def sentence(self) -> str:
        """What a colleague would say."""
        first = self.models.iloc[0]
        parts = [
            f"start from {first['model_id']}, cut at {first['cut']}: first by {self._voters(first)}"
        ]
        if pd.notna(first["p_first"]):
            parts[0] += f", and in {first['p_first']:.0%} of half samples"
        good = self._of("as good")
        if good:
            verb = "is" if len(good) == 1 else "are"
            parts.append(f"{named(good)} {verb} as good within the intervals")
        elif pd.notna(first["p_first"]):
            parts.append("no other is as good within the intervals")
        return "; ".join(parts)

    @property
    def scores(self) -> list[str]:
        """The scores that rank."""
        return [str(name) for name in self.models.columns[_NUM_FACTS:]]

    @property
    def others(self) -> list[str]:
        """Those of `scores` that the consensus does not count."""
        voting = voters(self.scores)
        return [name for name in self.scores if name not in voting]

    def frame(self) -> pd.DataFrame:
        """Returns `models`."""
        return self.models

    def record(self) -> dict[str, object]:
        """Returns everything as JSON-ready values."""
        return {
            "sentence": self.sentence,
            "num_probes": self.num_probes,
            "num_classes": self.num_classes,
            "num_objects": self.num_objects,
            "num_object_classes": self.num_object_classes,
            "models": self.models.to_dict("records"),
            "ranking": self.ranking.to_dict("records"),
        }

    def _voters(self, first: pd.Series) -> str:
        if self.num_scores == 1:
            return "the one score that votes"
        agree = int(first["num_agree"])
        return f"the consensus of {self.num_scores} scores, {agree} of which agree"

    def _of(self, standing: Standing) -> list[str]:
        kept = self.models[self.models["standing"] == standing]
        return [str(name) for name in kept["model_id"]]

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(self.sentence)}</p>\n{self.models.to_html(index=False)}"


def recommend_for_labels(scan: ScanResults) -> DataRecommendation:
    """Returns what to start from for the scan's labelled probes.

    Raises:
        ConfigError: the scan has no ranking by labels, and why.
        StoreError: a table is missing or damaged.
    """
    labels = scan.table("probes")["label"].dropna()
    objects = ProbeObjects.of(scan.probes())
    classes = () if objects is None else objects.labels
    ranking = _ranking(scan, len(labels), labels.nunique(), len(classes))
    top = ranking[(ranking["ranking"] == "model") & (ranking["score"] == CONSENSUS)]
    top = top.sort_values("rank").reset_index(drop=True)
    cuts = ranking[
        (ranking["ranking"] == "layer") & (ranking["score"] == CONSENSUS) & (ranking["rank"] == 1)
    ].set_index("model_id")["layer"]
    by_score = ranking[(ranking["ranking"] == "model") & (ranking["score"] != CONSENSUS)]
    by_score = by_score[~by_score["score"].map(is_of_hard_probes)]
    ranks = by_score.pivot_table(index="model_id", columns="score", values="rank", sort=False)
    models = pd.DataFrame(
        {
            "rank": top["rank"],
            "model_id": top["model_id"],
            "cut": top["model_id"].map(cuts).fillna(top["layer"]),
            "standing": standings(top.assign(target_model="")),
            "mean_rank": top["value"],
            "rank_low": top["rank_low"].astype("Int32"),
            "rank_high": top["rank_high"].astype("Int32"),
            "p_first": top["p_first"],
            "num_agree": top["num_agree"].astype("Int32"),
        }
    ).join(ranks.astype("Int32"), on="model_id")
    num_scores = int(top["num_scores"].iloc[0])
    counts = len(labels), labels.nunique(), len(classes), len(set(classes))
    return DataRecommendation(models, ranking, num_scores, *counts)


def _ranking(
    scan: ScanResults, num_labelled: int, num_classes: int, num_objects: int
) -> pd.DataFrame:
    if _TABLE not in scan.manifest.get("tables", {}):
        raise ConfigError(
            f"scan {scan.scan_id} is of a version without a ranking by labels: scan again (graphs "
            "are reused)"
        )
    ranking = scan.table(_TABLE)
    if (ranking["ranking"] == "model").any():
        return ranking
    if not num_labelled and not num_objects:
        why = (
            "its probes have no labels: put the images of each class into a folder of their own, "
            "or name the label column of a Parquet table (probes.label_column), or boxes of "
            "objects (probes.boxes_column, probes.annotations)"
        )
    elif not scan.manifest.get("config", {}).get("similarity", {}).get("label_scores", True):
        why = "similarity.label_scores is off: set it and scan again"
    else:
        why = (
            f"no score is defined for {num_labelled} labelled probes of {num_classes} classes and "
            f"{num_objects} objects at the models' output layers: see the reasons in label_scores"
        )
    raise ConfigError(f"scan {scan.scan_id} has no ranking by labels: {why}")
