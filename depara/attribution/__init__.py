"""Nodes and features of a model: one forward pass, one input-only backward per layer."""

from depara.attribution.extractor import Extractor, FeatureSink
from depara.attribution.features import FeatureBank, LayerGrams
from depara.attribution.methods import METHODS, Method

__all__ = ["METHODS", "Extractor", "FeatureBank", "FeatureSink", "LayerGrams", "Method"]
