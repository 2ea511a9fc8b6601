"""Which models together: sets of sources that complete each other for a target or for labels."""

from depara.ensembles.choice import Ensemble, Step, choose
from depara.ensembles.heads import head_distances, logit_fisher_rao
from depara.ensembles.osborn import member, member_of_source, osborn
from depara.ensembles.predictions import e_leep, ms_leep
from depara.ensembles.scan import ensemble_for, ensemble_for_labels
from depara.ensembles.smoothers import predicted_share

__all__ = [
    "Ensemble",
    "Step",
    "choose",
    "e_leep",
    "ensemble_for",
    "ensemble_for_labels",
    "head_distances",
    "logit_fisher_rao",
    "member",
    "member_of_source",
    "ms_leep",
    "osborn",
    "predicted_share",
]
