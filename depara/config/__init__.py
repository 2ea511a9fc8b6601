"""The scan file: its sections (`schema`), and how it is read, merged and printed (`load`)."""

from depara.config.load import ScanFile, load_scan_file, parse_scan, render_scan
from depara.config.schema import (
    PRESETS,
    AttributionConfig,
    CanvasConfig,
    ComputeConfig,
    EdgesConfig,
    InputConfig,
    ModelConfig,
    ProbesConfig,
    ScanConfig,
)
from depara.config.similarity import SimilarityConfig

__all__ = [
    "PRESETS",
    "AttributionConfig",
    "CanvasConfig",
    "ComputeConfig",
    "EdgesConfig",
    "InputConfig",
    "ModelConfig",
    "ProbesConfig",
    "ScanConfig",
    "ScanFile",
    "SimilarityConfig",
    "load_scan_file",
    "parse_scan",
    "render_scan",
]
