"""Nodes and features of a model: one forward pass, one input-only backward per layer."""

from depara.attribution.extractor import Extractor, FeatureSink
from depara.attribution.features import FeatureBank, LayerGrams

__all__ = ["Extractor", "FeatureBank", "FeatureSink", "LayerGrams"]
