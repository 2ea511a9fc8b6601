"""How far apart two probe sets are under one model, and what one labelled set says of another."""

from depara.domains.answer import SetDistances, compare_sets
from depara.domains.distances import emd, frechet, pooled
from depara.domains.gradients import pge
from depara.domains.heads import Head, fit_head
from depara.domains.matching import ClassMatch, match_classes
from depara.domains.related import RelatedModels, relate_sets
from depara.domains.relatedness import Relatedness, relatedness
from depara.domains.samples import Sample, read_sample
from depara.domains.transport import transport

__all__ = [
    "ClassMatch",
    "Head",
    "RelatedModels",
    "Relatedness",
    "Sample",
    "SetDistances",
    "compare_sets",
    "emd",
    "fit_head",
    "frechet",
    "match_classes",
    "pge",
    "pooled",
    "read_sample",
    "relate_sets",
    "relatedness",
    "transport",
]
