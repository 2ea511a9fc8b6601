"""The zoo: models opened safely, their input from the shared canvas, their proven cut points."""

from depara.models.dry_pass import OUTPUT, layer_module
from depara.models.identity import prove_same
from depara.models.outputs import layer_tensor, pool_features
from depara.models.preprocessing import Preprocess
from depara.models.process_state import process_kept
from depara.models.zoo import LoadedModel, choose_layers, describe_model, open_model

__all__ = [
    "OUTPUT",
    "LoadedModel",
    "Preprocess",
    "choose_layers",
    "describe_model",
    "layer_module",
    "layer_tensor",
    "open_model",
    "pool_features",
    "process_kept",
    "prove_same",
]
