"""Probes: the images that models are compared on, from wherever they are to canvases."""

from depara.probes.canvas import decode_canvas
from depara.probes.decode import decode_probe, decode_probes
from depara.probes.probe_set import ProbeMeta, build_probe_set, draw_order
from depara.probes.source import list_probes

__all__ = [
    "ProbeMeta",
    "build_probe_set",
    "decode_canvas",
    "decode_probe",
    "decode_probes",
    "draw_order",
    "list_probes",
]
