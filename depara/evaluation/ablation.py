"""What is left of a score's success without the sources that serve every target best.

In a zoo where a few models beat all others, knowing these is enough to score well. Taking them out
asks whether a score still ranks the rest.
"""

from __future__ import annotations

import pandas as pd

from depara.errors import ConfigError
from depara.evaluation.queries import some
from depara.evaluation.truth import Truth


def without_strongest(
    truth: Truth, scores: pd.DataFrame | None, count: int
) -> tuple[Truth, pd.DataFrame | None, str]:
    """Returns truth and scores without the sources of the highest mean true value, for any target.

    The mean over the targets that a source was measured for (not itself, and with a score where
    scores are given); of equal ones the first by name. Where targets differ in scale, those of the
    largest spread decide. The models stay as targets.

    Args:
        truth: measured transfers between models.
        scores: ``target, source`` and the scores, or None.
        count: how many sources to take out.

    Returns:
        The truth, the scores, and which sources were taken out, in words.

    Raises:
        ConfigError: a truth of layers, a count below 1, or one that leaves no two sources.
    """
    if truth.kind != "models":
        raise ConfigError("the strongest sources can be left out of a truth of models only")
    table = truth.table[truth.table["target"] != truth.table["source"]]
    if scores is not None:
        table = table.merge(scores[truth.keys], on=truth.keys, how="inner")
    means = table.groupby("source")["value"].mean().sort_index()
    if not 1 <= count <= len(means) - 2:
        raise ConfigError(
            f"{count} strongest sources to leave out of {len(means)} that {truth.origin} measures: "
            f"give 1 to {max(len(means) - 2, 1)}, so that two are left to rank"
        )
    strongest = means.sort_values(ascending=False, kind="stable").index[:count].tolist()
    if scores is not None:
        scores = scores[~scores["source"].isin(strongest)]
    named = some([f"{name!r} ({means[name]:.3g})" for name in strongest])
    said = f"the sources of the highest mean true value, on request: {named}"
    return truth.without_sources(strongest), scores, said
