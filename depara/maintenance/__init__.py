"""The upkeep of an output: whether it is sound, and what of it nobody needs any more.

Nothing here computes; `depara verify` and `depara gc` are thin over it.
"""

from depara.maintenance.candidates import Candidate
from depara.maintenance.collection import CollectionResult, collect
from depara.maintenance.collection_plan import CollectionPlan, plan_collection
from depara.maintenance.problem import Problem
from depara.maintenance.verify import VerifyReport, verify_output

__all__ = [
    "Candidate",
    "CollectionPlan",
    "CollectionResult",
    "Problem",
    "VerifyReport",
    "collect",
    "plan_collection",
    "verify_output",
]
