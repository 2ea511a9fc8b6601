"""Scores of what a classifier returned: how well its own classes predict the labels.

``N`` labelled probes, ``K`` classes of theirs, ``C`` classes of the model. Nothing says that a
model's return value is logits: where it is a matrix it is read as that, by a softmax over its
columns. Of a model that returns something else, such as an embedding, it is a reading and no more.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from depara.labelled.features import LabelledFeatures
from depara.types import Float64


def leep(features: LabelledFeatures) -> float:
    """Returns the mean log of the expected empirical prediction, natural logarithm, at most 0.

    ``sum_i log(sum_z P(y_i | z) t_iz) / N`` with ``t_i`` the model's probabilities of its own
    classes ``z`` for probe ``i``, ``P(y, z) = sum of t_iz over the probes of class y / N`` (Nguyen
    et al., "LEEP", ICML 2020).
    """
    return float(np.log(expected_predictions(features)).mean())


def nce(features: LabelledFeatures) -> float:
    """Returns minus the entropy of the labels given the model's predicted class, nats, at most 0.

    ``sum_i log P(y_i | z_i) / N`` with ``z_i`` the class that the model holds most probable, the
    first of equal ones (Tran, Nguyen & Hassner, "Transferability and Hardness of Supervised
    Classification Tasks", ICCV 2019, who have labels of the source task where this has its model's
    predictions, as others do who compare with it).
    """
    values_NC = returned(features)
    given_NC = np.eye(values_NC.shape[1])[values_NC.argmax(axis=1)]
    return float(np.log(_own_class(features, given_NC)).mean())


def expected_predictions(features: LabelledFeatures) -> Float64:
    """Returns LEEP's expected probability of each probe's own class, ``(N,)``."""
    return _own_class(features, softmax(returned(features), axis=1))


def returned(features: LabelledFeatures) -> Float64:
    """Returns what the model returned for the labelled probes, ``(N, C)``."""
    assert features.outputs_NC is not None
    return features.outputs_NC


def _own_class(features: LabelledFeatures, given_NC: Float64) -> Float64:
    joint_KC = features.indicators_NK.T @ given_NC
    total_C = joint_KC.sum(axis=0)
    conditional_KC = np.divide(joint_KC, total_C, out=np.zeros_like(joint_KC), where=total_C > 0)
    return np.asarray((given_NC * conditional_KC[features.class_N]).sum(axis=1))
