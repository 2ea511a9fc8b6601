"""The facts of every attribution method, score and model source; whoever needs one reads it here.

No torch, no numpy: the scan file's choices, the graph keys, the plan's costs, the tables' columns
and the documents derive from these rows. ``code`` names what computes it as ``module:object``; it
is imported when it is first used. CONTRIBUTING.md tells how to add one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal


@dataclass(frozen=True)
class Method:
    """An attribution method; ``code`` is a `depara.attribution.methods.Method`.

    ``parameters`` are the fields of `attribution` that it reads beside those that all methods
    share: they are handed to it, and are part of the graph key. ``repeats`` is the one of them that
    multiplies the forward and backward passes, None for one pass; ``maps`` the one that is the
    number of maps in a node, None for one map.
    """

    meaning: str
    reference: str
    code: str
    parameters: tuple[str, ...] = ()
    repeats: str | None = None
    maps: str | None = None


@dataclass(frozen=True)
class Term:
    """A part of ``similarity``, the weighted sum that ranks; ``column`` is where it stands.

    ``absent`` says when it is null; a term without it is in every table.
    """

    meaning: str
    reference: str
    column: str
    absent: str = ""


@dataclass(frozen=True)
class Score:
    """A label-free score of two graphs; ``code`` is a `depara.similarity.scores.Vectors`.

    ``lowest`` is the lower end of the values, the upper one is 1; ``min_probes`` the fewest probes
    that define it.
    """

    meaning: str
    reference: str
    code: str
    lowest: float = -1.0
    min_probes: int = 2


@dataclass(frozen=True)
class LabelScore:
    """A score of one graph with labels; ``code`` is a function of `LabelledFeatures`.

    Higher is better: what is not so by itself is negated. ``min_classes`` is the fewest classes,
    ``min_per_class`` the fewest labelled probes of every class, ``min_probes`` the fewest labelled
    probes in all; besides, some class must have 2. ``needs`` says of which Gram it is made, or that
    it is of what the model itself returned, or of the features of objects.
    ``votes``: whether the consensus counts its rank. Those that joined late do not: a ranking that
    people rely on moves on evidence, see docs/estimators.md.
    """

    meaning: str
    reference: str
    code: str
    min_classes: int = 2
    min_per_class: int = 1
    min_probes: int = 3
    needs: Literal["raw", "zscored", "outputs", "objects"] = "raw"
    votes: bool = True


@dataclass(frozen=True)
class Source:
    """An origin of models; ``form`` is how one names a model, ``code`` is the `Source` class."""

    form: str
    code: str


METHODS: Mapping[str, Method] = {
    "grad_input": Method(
        meaning="the paper's: a = (x - mu) * ds/dx",
        reference="Song et al., DEPARA, CVPR 2020, Eq. 3; gradient * input of Shrikumar et al., "
        "'Not just a black box', 2016",
        code="depara.attribution.methods:GRAD_INPUT",
    ),
    "saliency": Method(
        meaning="a = |ds/dx| per channel",
        reference="Simonyan, Vedaldi & Zisserman, 'Deep inside convolutional networks', 2013",
        code="depara.attribution.methods:SALIENCY",
    ),
    "integrated_gradients": Method(
        meaning="a = (x - mu) * mean of ds/dx on the straight path from mu to x, by Gauss-Legendre "
        "quadrature with `steps` points",
        reference="Sundararajan, Taly & Yan, 'Axiomatic attribution for deep networks', ICML 2017",
        code="depara.attribution.methods:INTEGRATED_GRADIENTS",
        parameters=("steps",),
        repeats="steps",
    ),
    "gradient_field": Method(
        meaning="the field of gradients on that path: the maps of integrated_gradients up to each "
        "of `points` places of it; node similarity is the mean cosine over the places",
        reference="Song et al., 'ModelGiF: Gradient Fields for Model Functional Distance', ICCV "
        "2023; our reading, see docs/estimators.md",
        code="depara.attribution.methods:GRADIENT_FIELD",
        parameters=("steps", "points"),
        repeats="steps",
        maps="points",
    ),
    "smoothgrad": Method(
        meaning="a = mean of ds/dx over `steps` copies of x with noise",
        reference="Smilkov et al., 'SmoothGrad', 2017",
        code="depara.attribution.methods:SMOOTHGRAD",
        parameters=("steps", "noise"),
        repeats="steps",
    ),
    "eps_lrp": Method(
        meaning="a = (x - mu) * ds/dx with the derivative of each elementwise nonlinearity f "
        "replaced by f(z) / (z + eps sign z)",
        reference="Bach et al., 'On pixel-wise explanations', 2015, in the form of Ancona et al., "
        "ICLR 2018, Eq. 6",
        code="depara.attribution.methods:EPS_LRP",
    ),
}
"""Attribution methods by their name in the scan file; the first is the default."""

TERMS: Mapping[str, Term] = {
    "node": Term(
        meaning="mean cosine of attribution maps, -1 to 1",
        reference="Song et al., DEPARA, CVPR 2020, Eq. 5, s_V",
        column="node_similarity",
    ),
    "node_centred": Term(
        meaning="cosine of all maps less the mean map of the zoo's output graphs, -1 to 1",
        reference="ours: s_V after removing what all models share of a probe",
        column="node_centred",
        absent="; null in scans of older versions",
    ),
    "edge": Term(
        meaning="Spearman correlation of edges, -1 to 1",
        reference="Song et al., DEPARA, CVPR 2020, Eq. 5, s_E",
        column="edge_similarity",
    ),
    "directed": Term(
        meaning="share of the target's variance predicted at left-out probes, up to 1",
        reference="ours: leave-one-out kernel ridge, see SCORES",
        column="directed",
        absent="; null when not computed",
    ),
    "gulp": Term(
        meaning="1 - the mean squared difference of what ridge regressions on both predict of "
        "random labels, 0 to 1",
        reference="Boix-Adsera et al., NeurIPS 2022, see SCORES",
        column="gulp",
        absent="; null when not computed",
    ),
}
"""The terms of ``similarity`` by name; each is resampled, so that the sum has its intervals."""

DEFAULT_TERMS: Mapping[str, float] = {"node": 1.0, "edge": 1.0, "directed": 1.0}
"""Their weights where the scan file gives none; see docs/method.md."""

DEFAULT_LAYER_TERMS: Mapping[str, float] = DEFAULT_TERMS
"""Their weights in what ranks the layers of a source, where the scan file gives none of either."""

SKETCHED_TERMS = ("node", "edge", "directed")
"""The terms that sketches estimate (`depara.nearest`)."""

SCORES: Mapping[str, Score] = {
    "rsa": Score(
        meaning="Spearman correlation of Pearson dissimilarities, -1 to 1",
        reference="Kriegeskorte et al., Frontiers in Systems Neuroscience 2008; "
        "Dwivedi & Roig, CVPR 2019",
        code="depara.similarity.scores:RSA",
    ),
    "rsa_zscore": Score(
        meaning="the same of z-scored features, -1 to 1",
        reference="Dwivedi & Roig, CVPR 2019; z-scored as in Dwivedi et al., ECCV 2020",
        code="depara.similarity.scores:RSA_ZSCORE",
    ),
    "dds": Score(
        meaning="duality diagram similarity, -1 to 1",
        reference="Dwivedi et al., 'Duality Diagram Similarity', ECCV 2020",
        code="depara.similarity.scores:DDS",
    ),
    "cka": Score(
        meaning="linear debiased centred kernel alignment, -1 to 1",
        reference="Kornblith et al., ICML 2019; Song et al., JMLR 2012; Nguyen et al., ICLR 2021",
        code="depara.similarity.scores:CKA",
        min_probes=4,
    ),
    "directed": Score(
        meaning="share of the target's variance predicted at left-out probes, up to 1",
        reference="ours: leave-one-out kernel ridge (Allen 1974; Golub, Heath & Wahba 1979)",
        code="depara.similarity.scores:DIRECTED",
        lowest=float("-inf"),
    ),
    "rbf_cka": Score(
        meaning="debiased CKA with a Gaussian kernel of half the median distance, -1 to 1",
        reference="Kornblith et al., ICML 2019; Song et al., JMLR 2012",
        code="depara.similarity.scores:RBF_CKA",
        min_probes=4,
    ),
    "gulp": Score(
        meaning="1 - GULP^2 / (N - 1), the mean squared difference of what ridge regressions on "
        "both (lambda 0.01) predict of random labels, 0 to 1",
        reference="Boix-Adsera et al., 'GULP: a prediction-based metric between representations', "
        "NeurIPS 2022",
        code="depara.similarity.scores:GULP",
        lowest=0.0,
    ),
    "mutual_knn": Score(
        meaning="mean share of the 20 nearest probes (cosine of centred raw features) that both "
        "name, 0 to 1; 20 / (N - 1) by chance; null below 22 probes",
        reference="Huh et al., 'The Platonic Representation Hypothesis', ICML 2024, there not "
        "centred",
        code="depara.similarity.scores:MUTUAL_KNN",
        lowest=0.0,
        min_probes=22,
    ),
    "lsim": Score(
        meaning="mean over the probes of the cosine of their raw cosines with the others, -1 to 1",
        reference="Chen et al., 'Graph-Based Similarity of Neural Network Representations', 2021",
        code="depara.similarity.scores:LSIM",
    ),
}
"""The label-free neighbours of DEPARA's scores by their name, a column of ``similarity``."""

LABEL_SCORES: Mapping[str, LabelScore] = {
    "knn": LabelScore(
        meaning="leave-one-out accuracy of the 5 nearest neighbours by cosine, 0 to 1",
        reference="Cover & Hart, IEEE Transactions on Information Theory 1967",
        code="depara.labelled.pairs:knn",
        min_probes=6,
    ),
    "logme": LabelScore(
        meaning="maximum log evidence per probe of linear models of the classes, mean, nats",
        reference="You et al., 'LogME', ICML 2021",
        code="depara.labelled.evidence:logme",
    ),
    "h_score": LabelScore(
        meaning="between-class share of the variance, summed over directions, 0 to classes - 1",
        reference="Bao et al., ICIP 2019; shrinkage of Ibrahim et al., ECML PKDD 2022",
        code="depara.labelled.scatter:h_score",
    ),
    "transrate": LabelScore(
        meaning="coding rate of all features less that of the classes, nats",
        reference="Huang et al., 'Frustratingly Easy Transferability Estimation', ICML 2022",
        code="depara.labelled.scatter:transrate",
    ),
    "nleep": LabelScore(
        meaning="mean log probability of the labels given the features' clusters, nats, at most 0",
        reference="Li et al., 'Ranking Neural Checkpoints', CVPR 2021",
        code="depara.labelled.mixture:nleep",
    ),
    "parc": LabelScore(
        meaning="Spearman's rho of pairwise likeness with being of one class, raw, -1 to 1",
        reference="Bolya et al., 'Scalable Diverse Model Selection', NeurIPS 2021",
        code="depara.labelled.pairs:parc",
    ),
    "parc_zscore": LabelScore(
        meaning="Spearman's rho of pairwise likeness with being of one class, z-scored, -1 to 1",
        reference="Bolya et al., NeurIPS 2021; z-scored as in their code",
        code="depara.labelled.pairs:parc_zscore",
        needs="zscored",
    ),
    "gbc": LabelScore(
        meaning="minus the overlap of the classes as spherical Gaussians, summed over pairs",
        reference="Pandy et al., 'Bhattacharyya Class Separability', CVPR 2022",
        code="depara.labelled.scatter:gbc",
        min_per_class=2,
    ),
    "lfc": LabelScore(
        meaning="correlation of inner products with being of one class, over all pairs, -1 to 1",
        reference="Deshpande et al., 'A linearized framework and a new benchmark for model "
        "selection for fine-tuning', 2021",
        code="depara.labelled.pairs:lfc",
        votes=False,
    ),
    "sfda": LabelScore(
        meaning="mean probability of the true class in the self-challenging Fisher space, 0 to 1",
        reference="Shao et al., 'Not All Models Are Equal', ECCV 2022; our reading at total "
        "variance 1",
        code="depara.labelled.fisher:sfda",
        votes=False,
    ),
    "ncti": LabelScore(
        meaning="nearness to neural collapse, sum of three terms, 0 to 3",
        reference="Wang et al., 'How Far Pre-trained Models Are from Neural Collapse', ICCV 2023; "
        "our reading: terms scaled by their own bounds, not over the zoo",
        code="depara.labelled.centres:ncti",
        votes=False,
    ),
    "leep": LabelScore(
        meaning="mean log probability of the labels given the model's own classes, nats, at most 0",
        reference="Nguyen et al., 'LEEP: A New Measure to Evaluate Transferability of Learned "
        "Representations', ICML 2020",
        code="depara.labelled.outputs:leep",
        needs="outputs",
        votes=False,
    ),
    "nce": LabelScore(
        meaning="minus the entropy of the labels given the model's own class, nats, at most 0",
        reference="Tran, Nguyen & Hassner, ICCV 2019, with predictions for the source's labels",
        code="depara.labelled.outputs:nce",
        needs="outputs",
        votes=False,
    ),
}
"""The scores with labels by their name, a value of ``score`` in ``label_scores``."""

OBJECT_SCORES: Mapping[str, LabelScore] = {
    "tlogme": LabelScore(
        meaning="mean of the log evidence of the objects' classes and of their boxes, nats",
        reference="Fouquet et al., 'Transferability Metrics for Object Detection', 2023",
        code="depara.labelled.objects:tlogme",
        needs="objects",
    ),
    "u_logme": LabelScore(
        meaning="log evidence per object of boxes in the columns of their class, mean, nats",
        reference="Wang et al., 'Efficient Transferability Assessment for Selection of Pre-trained "
        "Detectors', WACV 2024; our reading",
        code="depara.labelled.objects:u_logme",
        needs="objects",
        votes=False,
    ),
}
"""The scores with boxes, likewise a value of ``score``; ``code`` is of `ObjectFeatures`, and counts
are of objects. They vote where no score of the probes' labels does."""

SOURCES: Mapping[str, Source] = {
    "torchvision": Source("torchvision:NAME", "depara.models.torchvision_source:TorchvisionSource"),
    "timm": Source("timm:NAME", "depara.models.timm_source:TimmSource"),
    "hf": Source("hf:NAME_OR_FOLDER", "depara.models.hf_source:HuggingFaceSource"),
    "python": Source("python:package.module:callable", "depara.models.python_source:PythonSource"),
}
"""The origins of models by the word before the colon."""

_HARD = "@hard"


def hard_name(score: str, percent: int) -> str:
    """Returns the name of a score of the hardest ``percent`` of the probes: ``knn@hard25``."""
    return f"{score}{_HARD}{percent}"


def is_of_hard_probes(name: str) -> bool:
    """Whether a value of ``score`` in ``label_scores`` is of the hard probes alone."""
    return _HARD in name


def votes(name: str) -> bool:
    """Whether the consensus of the scores with labels counts a score's rank.

    A score of the hard probes never does: it is of the same kind as that of all of them, and would
    give that kind two votes.
    """
    if is_of_hard_probes(name):
        return False
    return (LABEL_SCORES.get(name) or OBJECT_SCORES[name]).votes


def voters(names: Iterable[str]) -> set[str]:
    """Returns those of the scores with labels that the consensus of all of them counts.

    Scores with boxes are of another task than those of the probes' labels: where any of these
    votes, none of them does.
    """
    voting = {name for name in names if votes(name)}
    return voting - OBJECT_SCORES.keys() or voting


def z_column(score: str) -> str:
    """Returns the column that says how far a score is from chance, in deviations."""
    return f"{score}_z"


def shared_by_all_methods(field: str) -> bool:
    """Whether a field of `attribution` is a part of every graph key: no method claims it."""
    return not any(field in method.parameters for method in METHODS.values())


@cache
def load(code: str) -> Any:
    """Returns what a row's ``code`` names."""
    module, _, name = code.partition(":")
    return getattr(import_module(module), name)
