"""The learners: functions of the past that score every model as a source for a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from depara.learning.factorisation import factorisation
from depara.learning.past import Past
from depara.learning.ranker import ranker
from depara.types import Float64


@dataclass(frozen=True)
class Learner:
    """``score(past, target)`` gives ``M`` values, higher = better, for the models of the past."""

    meaning: str
    score: Callable[[Past, int], Float64]


LEARNERS: Mapping[str, Learner] = {
    "factorisation": Learner(
        "factors of past transfers, targets placed by features", factorisation
    ),
    "ranker": Learner("weighted sum of the scan's scores and popularity", ranker),
}
"""What `depara learn` compares with popularity, beside the scan's own similarity."""
