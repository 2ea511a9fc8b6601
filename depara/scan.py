"""A finished scan with everything that one asks of it: what `depara.open_scan` opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from depara.answers import (
    DataRecommendation,
    ModelTree,
    Recommendation,
    Recommender,
    ScanChanges,
    diff,
    matrix,
    model_tree,
    recommend,
    recommend_for_labels,
)
from depara.ensembles import Ensemble, ensemble_for, ensemble_for_labels, head_distances
from depara.results import ScanResults
from depara.results import open_scan as open_results

if TYPE_CHECKING:
    from depara.nearest import Nearest
    from depara.query import QueryAnswer
    from depara.query.progress import Progress


@dataclass(frozen=True)
class Scan(ScanResults):
    """One finished scan: its tables and rankings (`ScanResults`), and the answers made of them."""

    def recommend(self, target: str) -> Recommendation:
        """Returns what to start from for a target: a sentence, the sources, what to try.

        Raises:
            ConfigError: the target is no model of this scan that worked, or has no sources.
            StoreError: a table is missing or damaged.
        """
        if self.tables_in_parts:  # too large to be read whole for one target
            return recommend(self, target)
        return self._recommender.of(target)

    def recommend_for_labels(self) -> DataRecommendation:
        """Returns what to start from for the labelled probes themselves.

        Raises:
            ConfigError: the scan has no ranking by labels, and why.
        """
        return recommend_for_labels(self)

    def ensemble(self, target: str, size: int = 3) -> Ensemble:
        """Returns the models that together predict a target's features best.

        Raises:
            ConfigError: no such model, or no other one.
            StoreError: a graph is damaged or was collected.
        """
        return ensemble_for(self, target, size)

    def ensemble_for_labels(self, size: int = 3, score: str = "label_share") -> Ensemble:
        """Returns the models that together tell the probes' labels best.

        Raises:
            ConfigError: no such score, no labels, or no model's return value is kept.
            StoreError: a graph is damaged or was collected.
        """
        return ensemble_for_labels(self, size, score)

    def head_distances(self) -> pd.DataFrame:
        """Returns how far apart the heads of classifiers are; see `ensembles.head_distances`.

        Raises:
            ConfigError: no two models' return values are kept.
            StoreError: a graph is damaged or was collected.
        """
        return head_distances(self)

    def matrix(self, score: str = "similarity", lambda_: float | None = None) -> pd.DataFrame:
        """Returns a score of every source (columns) for every target (rows); see `answers.matrix`.

        Raises:
            ConfigError: no such score, or it was not computed.
        """
        return matrix(self, score, lambda_)

    def tree(self, score: str = "similarity", lambda_: float | None = None) -> ModelTree:
        """Returns which models belong together; see `answers.model_tree`.

        Raises:
            ConfigError: no such score, or pairs were not compared.
        """
        return model_tree(self, score, lambda_)

    def diff(self, before: ScanResults | str | None = None) -> ScanChanges:
        """Returns what changed since an earlier scan, by default the one right before.

        Raises:
            ConfigError: there is no earlier scan.
            StoreError: no such scan, or a table is missing or damaged.
        """
        return diff(self, before)

    def report(self, path: str | None = None, pictures: int | None = None) -> str:
        """Writes the report of the scan, one HTML file; returns where it lies.

        Args:
            path: local path or URI; None is beside the scan's tables.
            pictures: see `depara.report.write_report`.

        Raises:
            ConfigError: the scan has no ranking, or the path is a folder.
            StoreError: a table is missing or damaged, or the place cannot be written.
        """
        from depara.report import write_report

        return write_report(self, path, pictures).location

    def query(
        self,
        model: Mapping[str, Any] | str,
        *,
        fresh: bool = False,
        short_list: int | None = None,
        on_progress: Progress | None = None,
    ) -> QueryAnswer:
        """Returns what this scan says of a model that it does not have; see `depara.query.query`.

        Needs torch where the model must be opened.

        Args:
            model: the fields of an entry of a scan file, such as ``{"source":
                "torchvision:resnet18"}``, or a YAML file with one entry below ``models``.
            fresh: compute the answer anew, whatever is kept.
            short_list: compare with so many models alone, those that sketches say are the best
                sources, as if the zoo had no others; None is all.
            on_progress: told what is done, and how much of it.

        Raises:
            DeparaError: see `depara.query.query` and `depara.nearest.ShortList`.
        """
        from depara.nearest import ShortList
        from depara.query import query

        chosen = None if short_list is None else ShortList(short_list)
        return query(self, model, fresh=fresh, short_list=chosen, on_progress=on_progress)

    def nearest(
        self,
        model: str,
        *,
        layer: str | None = None,
        top: int = 50,
        exact: bool = True,
        on_progress: Progress | None = None,
    ) -> Nearest:
        """Returns the graphs that are the best sources for a graph; see `depara.nearest.nearest`.

        Found by sketches, which are made when they are first needed, and then compared exactly.

        Raises:
            DeparaError: see `depara.nearest.nearest`.
        """
        from depara.nearest import nearest

        return nearest(self, model, layer=layer, top=top, exact=exact, on_progress=on_progress)

    @cached_property
    def _recommender(self) -> Recommender:
        return Recommender(self)


def open_scan(output: str, scan_id: str | None = None) -> Scan:
    """Returns a finished scan of an output location; the latest one by default.

    Args:
        output: local folder or URI that scans were written to.
        scan_id: name of the scan; None is the latest finished one.

    Raises:
        StoreError: there is no such finished scan.
    """
    return Scan(**vars(open_results(output, scan_id)))
