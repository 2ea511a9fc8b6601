"""Scores of one graph for detection: how well features of objects suit their classes and boxes.

``O`` objects, ``D`` features, ``K`` classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depara.catalog import OBJECT_SCORES, LabelScore
from depara.grams import ROUNDING
from depara.labelled.evidence import logme_regression
from depara.labelled.scores import ScoreValue, value_or_reason
from depara.objects import ProbeObjects
from depara.types import Float32, Float64


@dataclass(frozen=True, eq=False)
class ObjectFeatures:
    """Features of objects at one layer, their boxes and their classes.

    ``boxes_O4`` are the corners ``x0, y0, x1, y1`` in shares of the canvas' side; ``class_O``
    numbers the classes of ``class_names``.
    """

    features_OD: Float64
    boxes_O4: Float64
    class_O: NDArray[np.intp]
    class_names: tuple[str, ...]

    @classmethod
    def select(
        cls, features_OD: Float32, objects: ProbeObjects, probes: Collection[int] | None = None
    ) -> ObjectFeatures:
        """Returns the objects of some probes, or of all.

        Args:
            features_OD: of all objects, in their order.
            objects: of all probes.
            probes: indices of those wanted; None: all.
        """
        assert len(features_OD) == len(objects)
        places = np.arange(len(objects)) if probes is None else objects.places(probes)
        labels = [objects.labels[place] for place in places]
        names, class_O = np.unique(np.array(labels, dtype=object), return_inverse=True)
        return cls(
            features_OD[places].astype(np.float64),
            objects.boxes_O4[places],
            class_O.astype(np.intp),
            tuple(str(name) for name in names),
        )

    @property
    def num_objects(self) -> int:
        """``O``."""
        return len(self.class_O)

    @cached_property
    def one_hot_OK(self) -> Float64:
        """The classes as one-hot rows, float64."""
        return np.eye(len(self.class_names))[self.class_O]

    @property
    def is_constant(self) -> bool:
        """True when the features of the objects do not differ beyond single precision."""
        centred_OD = self.features_OD - self.features_OD.mean(axis=0)
        whole = float(np.square(self.features_OD).sum())
        return float(np.square(centred_OD).sum()) <= ROUNDING * whole


def tlogme(objects: ObjectFeatures) -> float:
    """Returns the mean of LogME over the classes and LogME over the boxes' corners, in nats.

    ``(LogME(F, one-hot classes) + LogME(F, corners)) / 2`` with ``F`` the objects' features and the
    corners in shares of the canvas' side (Fouquet et al., 2023, whose code has them in px: that
    shifts all values alike). Ours: a corner coordinate that is the same for all objects asks
    nothing and is left out; where all are, or all objects are of one class, the other half is the
    score.
    """
    halves = []
    if len(objects.class_names) > 1:
        halves.append(logme_regression(objects.features_OD, objects.one_hot_OK))
    varies_4 = np.ptp(objects.boxes_O4, axis=0) > ROUNDING
    if varies_4.any():
        halves.append(logme_regression(objects.features_OD, objects.boxes_O4[:, varies_4]))
    return float(np.mean(halves)) if halves else math.nan


def u_logme(objects: ObjectFeatures) -> float:
    """Returns the mean log evidence per object of boxes in the columns of their class, in nats.

    One target for both tasks (Wang et al., WACV 2024, U-LogME): ``Y`` has four columns for each
    class, and a row has its box there and 0 elsewhere, which is the one-hot classes times the box,
    ``O 4K``; `logme_regression` of it. Our reading: the box is its corners in shares of the
    canvas' side, and features come from the layer of the graph; the authors choose a level of the
    detector's pyramid for each object by its size.
    """
    targets_OK4 = objects.one_hot_OK[:, :, None] * objects.boxes_O4[:, None, :]
    return logme_regression(objects.features_OD, targets_OK4.reshape(objects.num_objects, -1))


def undefined_object_scores(objects: ProbeObjects) -> dict[str, str]:
    """Returns the scores with boxes that no features have of these objects, with the reasons."""
    reasons = {name: _undefined(s, Counter(objects.labels)) for name, s in OBJECT_SCORES.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def object_scores(objects: ObjectFeatures | str) -> dict[str, ScoreValue]:
    """Returns every score of `OBJECT_SCORES` for one graph, by name.

    Args:
        objects: the objects with their features, or why there are none at this layer.
    """
    if isinstance(objects, str):
        return {name: ScoreValue(math.nan, objects) for name in OBJECT_SCORES}
    counts = Counter(objects.class_names[number] for number in objects.class_O)
    return {name: _value(score, objects, counts) for name, score in OBJECT_SCORES.items()}


def _value(score: LabelScore, objects: ObjectFeatures, counts: Counter[str]) -> ScoreValue:
    reason = _undefined(score, counts)
    if reason is None and objects.is_constant:
        reason = f"the features of the {objects.num_objects} objects do not differ"
    if reason is not None:
        return ScoreValue(math.nan, reason)
    return value_or_reason(score, objects, "all objects have one class and one box")


def _undefined(score: LabelScore, counts: Counter[str]) -> str | None:
    """Returns why objects, counted by class, leave a score undefined; None when they do not."""
    if counts.total() < score.min_probes:
        return f"{counts.total()} objects lie on the canvas, needs {score.min_probes}"
    return None
