"""The section of a scan file that says how two graphs are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from depara.catalog import DEFAULT_LAYER_TERMS, DEFAULT_TERMS, SCORES, SKETCHED_TERMS, TERMS
from depara.config.section import Section

Pairs = Literal["outputs", "all", "nearest"]
if TYPE_CHECKING:
    NeighbourScore = str
    TermName = str
else:
    NeighbourScore = Literal[tuple(SCORES)]
    TermName = Literal[tuple(TERMS)]

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SimilarityConfig(Section):
    """How two graphs are compared, and which pairs of graphs."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True
    )

    terms: dict[TermName, Weight] = Field(default=dict(DEFAULT_TERMS))
    """Weights of what `similarity` is the sum of: node, node_centred, edge, directed, gulp."""
    layer_terms: dict[TermName, Weight] = Field(default=dict(DEFAULT_LAYER_TERMS))
    """Weights of what ranks the layers of a source; given terms or lambda and not these, they are
    the same."""
    lambda_: Annotated[Weight, Field(alias="lambda")] = DEFAULT_TERMS["edge"]
    """Weight of the edge similarity; given without terms, similarity is the paper's,
    node_similarity + lambda * edge_similarity."""
    scores: list[NeighbourScore] = Field(default=list(SCORES))
    """Label-free neighbours to compute beside DEPARA's own scores; [] for none but those that are
    weighted terms."""
    label_scores: bool = True
    """Scores with labels (k-NN, LogME, H-score, ...), where at least two classes are labelled."""
    hard: list[Annotated[int, Field(ge=1, le=100)]] = Field(default=[])
    """Shares, %: every score with labels is computed once more of each class's hardest probes, as
    knn@hard25; these do not vote in the consensus."""
    pairs: Pairs = "outputs"
    """outputs: every (model, layer) with every model's output layer; all: every two graphs;
    nearest: every model's output layer with all layers of the models nearest to it, for zoos where
    all pairs are too many."""
    nearest: Annotated[int, Field(ge=1)] = 50
    """Models that each target is compared with, of pairs: nearest; sketches choose them."""

    @model_validator(mode="before")
    @classmethod
    def _lambda_is_the_weight_of_the_edges(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        filled = {("lambda" if name == "lambda_" else name): data[name] for name in data}
        terms, lambda_ = filled.get("terms"), filled.get("lambda")
        if lambda_ is None and isinstance(terms, Mapping):
            filled["lambda"] = terms.get("edge", 0.0)
        elif terms is None and (weight := _weight(lambda_)) is not None:
            filled["terms"] = {"node": 1.0, "edge": weight}
        elif isinstance(terms, Mapping) and terms.get("edge", 0.0) != lambda_:
            raise ValueError(
                f"terms give the edges the weight {terms.get('edge', 0.0)}, lambda {lambda_}: "
                "give one of the two"
            )
        if isinstance(own := filled.get("terms"), Mapping):
            filled.setdefault("layer_terms", dict(own))
        return filled

    @model_validator(mode="after")
    def _sketches_have_the_terms(self) -> SimilarityConfig:
        strange = [name for name, weight in self.terms.items() if weight]
        strange = [name for name in strange if name not in SKETCHED_TERMS]
        if self.pairs == "nearest" and strange:
            raise ValueError(
                f"pairs: nearest chooses by sketches, which have {', '.join(SKETCHED_TERMS)} and "
                f"not {strange[0]}: leave it out of terms (layer_terms may have it), or take "
                "pairs: outputs"
            )
        return self

    @property
    def computed_scores(self) -> tuple[str, ...]:
        """The scores to compute: those asked for, and those that are weighted terms."""
        weights = (*self.terms.items(), *self.layer_terms.items())
        columns = (TERMS[name].column for name, weight in weights if weight)
        needed = [column for column in columns if column in SCORES]
        return tuple(dict.fromkeys((*self.scores, *needed)))

    @field_validator("hard")
    @classmethod
    def _shares_are_given_once(cls, value: list[int]) -> list[int]:
        assert len(set(value)) == len(value), f"a share is given twice: {value}"
        return value

    @property
    def own_layer_terms(self) -> dict[str, float] | None:
        """The weights of what ranks layers, None where they are those of the similarity."""
        given = [{n: w for n, w in one.items() if w} for one in (self.terms, self.layer_terms)]
        return None if given[0] == given[1] else dict(self.layer_terms)

    @field_validator("terms", "layer_terms")
    @classmethod
    def _something_ranks(cls, value: dict[str, float]) -> dict[str, float]:
        if not any(value.values()):
            raise ValueError(f"every weight is 0: give one of {', '.join(TERMS)} a weight above 0")
        return value


def _weight(value: Any) -> float | None:
    """A weight as a number, or None: what is wrong with it is said where it is validated."""
    try:
        weight = float(value)
    except (TypeError, ValueError):
        return None
    return weight if 0 <= weight < math.inf else None
