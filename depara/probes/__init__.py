"""Probes: the images that models are compared on, from wherever they are to canvases."""

from depara.probes.canvas import decode_canvas
from depara.probes.columns import BoxColumns
from depara.probes.decode import decode_probe, decode_probes
from depara.probes.foreign import LeftOut, describe_left_out
from depara.probes.probe_set import ProbeMeta, build_probe_set, draw_order
from depara.probes.source import FoundProbes, find_probes

__all__ = [
    "BoxColumns",
    "FoundProbes",
    "LeftOut",
    "ProbeMeta",
    "build_probe_set",
    "decode_canvas",
    "decode_probe",
    "decode_probes",
    "describe_left_out",
    "draw_order",
    "find_probes",
]
