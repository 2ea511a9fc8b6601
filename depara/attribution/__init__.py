"""Nodes and features of a model: one forward pass, one input-only backward per layer."""

from depara.attribution.bus import Bus
from depara.attribution.extraction_job import FeatureSink
from depara.attribution.extractor import Extractor
from depara.attribution.features import FeatureBank

__all__ = ["Bus", "Extractor", "FeatureBank", "FeatureSink"]
