"""Rankings learned from past transfers, judged on targets that were left out."""

from depara.learning.learned import Learned, learn
from depara.learning.learners import LEARNERS

__all__ = ["LEARNERS", "Learned", "learn"]
