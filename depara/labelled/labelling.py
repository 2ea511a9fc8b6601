"""What the probes of a scan are labelled with, and all scores that follow from it for one graph.

``O`` objects, ``D`` features of each, ``N`` probes, ``C`` values that a model returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from depara.catalog import LABEL_SCORES, OBJECT_SCORES
from depara.grams import GraphGrams
from depara.labelled.hardness import score_names
from depara.labelled.objects import ObjectFeatures, object_scores, undefined_object_scores
from depara.labelled.ranking import half_samples
from depara.labelled.scores import ScoreValue, label_scores, undefined_scores
from depara.objects import ProbeObjects
from depara.types import Float32

_BOXES_ONLY = ""
"""Stands for the class of a probe that has objects and no class, where halves are drawn."""


@dataclass(frozen=True, eq=False)
class Labelling:
    """Classes of probes, None where one has none, and their objects; both, or one of them.

    ``kept`` are the probes whose objects count; None: all.
    """

    classes: tuple[str | None, ...]
    objects: ProbeObjects | None = None
    kept: frozenset[int] | None = None

    @property
    def has_classes(self) -> bool:
        """Whether any probe has a class."""
        return any(label is not None for label in self.classes)

    @property
    def has_objects(self) -> bool:
        """Whether any probe has an object."""
        return self.objects is not None and len(self.objects) > 0

    @property
    def has_scores(self) -> bool:
        """Whether classes or objects suffice for one score at least."""
        found = self.objects
        return len(undefined_scores(self.classes)) < len(LABEL_SCORES) or (
            found is not None and len(undefined_object_scores(found)) < len(OBJECT_SCORES)
        )

    @property
    def size(self) -> int:
        """Labelled probes or objects, whichever are more."""
        num_labelled = sum(label is not None for label in self.classes)
        return max(num_labelled, 0 if self.objects is None else len(self.objects))

    def names(self, hard: Sequence[int]) -> tuple[str, ...]:
        """Returns the names of all that `scores` gives, in its order."""
        of_classes = score_names(hard) if self.has_classes else ()
        return (*of_classes, *(OBJECT_SCORES if self.has_objects else ()))

    def halves(self, count: int, seed: int) -> list[Labelling]:
        """Returns half of the probes of each class, ``count`` times, with their objects.

        See `half_samples`; probes with objects and no class are a class of their own.
        """
        drawn = list(self.classes)
        if self.objects is not None:
            for place in set(self.objects.probe_O.tolist()):
                drawn[place] = _BOXES_ONLY if drawn[place] is None else drawn[place]
        found = []
        for half in half_samples(drawn, count, seed):
            kept = frozenset(place for place, label in enumerate(half) if label is not None)
            classes = [y if place in kept else None for place, y in enumerate(self.classes)]
            found.append(Labelling(tuple(classes), self.objects, kept))
        return found

    def scores(
        self,
        grams: GraphGrams,
        hard: Sequence[int] = (),
        outputs_NC: Float32 | None = None,
        features_OD: Float32 | str = "",
    ) -> dict[str, ScoreValue]:
        """Returns every score of the classes, then every one of the objects, by name.

        Args:
            grams: of all probes of the graph.
            hard: see `label_scores`.
            outputs_NC: likewise.
            features_OD: of all objects, or why there are none at this layer.
        """
        found: dict[str, ScoreValue] = {}
        if self.has_classes:
            found |= label_scores(grams, self.classes, hard, outputs_NC)
        if self.objects is not None and self.has_objects:
            found |= object_scores(
                features_OD
                if isinstance(features_OD, str)
                else ObjectFeatures.select(features_OD, self.objects, self.kept)
            )
        return found
