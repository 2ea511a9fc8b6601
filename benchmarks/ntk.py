"""Do gradients of parameters say more of transfer than features do? The empirical tangent kernel.

Of every probe the gradient of the scalar (the norm of the code) with respect to all parameters of
a network, added layer by layer into 4,096 cells with a sign each (CountSketch), so that no more
than one probe's gradient is ever in memory. The Gram matrix of these is the empirical neural
tangent kernel (Jacot, Gabriel & Hongler, NeurIPS 2018), up to the sketch; it goes through the same
scores as the Gram of features. Spearman's correlation with the measured transfers, the mean over
targets, beside the same scores of features. The zoos are the digits' and the mini zoo, where their
truths are at hand (``python -m examples.digits.transfer`` makes that of the digits).

    python -m benchmarks.ntk [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks._report import machine_line, write_report
from benchmarks.truth.rules import (
    LAYER_FORMER,
    LAYER_RULES,
    Judged,
    mean_over,
    means,
    paired,
)
from benchmarks.truth.scans import (
    DIGITS,
    SHARED,
    Zoo,
    digit_zoo,
    judge_zoo,
    mini_zoo,
    scan_all,
)
from depara import open_scan
from depara.attribution import FeatureBank
from depara.grams import GraphGrams
from depara.graph import edges_from_gram, rank_vector
from depara.identity import mixed_bits
from depara.similarity.edges import edge_similarity
from depara.similarity.scores import score_block, score_vectors
from depara.types import LayerInfo
from examples.digits.encoder import INPUT_MEAN, INPUT_STD
from examples.digits.train import DEFAULT_FOLDER
from examples.digits.zoo import list_encoders, load_encoder

CELLS = 4096
SCORES = ("cka", "directed", "rsa_zscore", "rbf_cka")
_EDGE = "edge_similarity"
_PROBES = 200
_BOTH = "V + E + D + tangent D"
RULES: Mapping[str, Mapping[str, float]] = {
    LAYER_FORMER: LAYER_RULES[LAYER_FORMER],
    _BOTH: {**LAYER_RULES[LAYER_FORMER], "tangent directed": 1},
}
"""Written down before anything was measured: what is shipped, and that with one term more."""


def tangents(network: nn.Module, inputs_N: Tensor) -> NDArray[np.float32]:
    """Returns the sketched gradients of all parameters, one row per probe: ``(N, CELLS)``."""
    parameters = [one.requires_grad_() for one in network.parameters()]
    places_of_each = list(_places(parameters))
    sketch_NC = np.zeros((len(inputs_N), CELLS))
    for row, probe in enumerate(inputs_N):
        gradients = torch.autograd.grad(network(probe[None]).norm(), parameters)
        for places, one in zip(places_of_each, gradients, strict=True):
            sums = np.bincount(places, weights=one.ravel().numpy(), minlength=2 * CELLS)
            sketch_NC[row] += sums[:CELLS] - sums[CELLS:]
    return sketch_NC.astype(np.float32)


def _places(parameters: Sequence[Tensor]) -> Iterator[NDArray[np.intp]]:
    """Yields the cell of each value of each parameter; with a minus sign, as many cells later."""
    start = 1
    for one in parameters:
        numbers = np.arange(start, start + one.numel(), dtype=np.uint64)
        yield (mixed_bits(numbers) % np.uint64(2 * CELLS)).astype(np.intp)
        start += one.numel()


def grams_of(values_NC: NDArray[np.float32]) -> GraphGrams:
    """Returns the Grams of some values of each probe, as a scan makes them of features."""
    num_probes, size = values_NC.shape
    with FeatureBank(
        num_probes, [LayerInfo("tangent", 0, 1.0, size, (size,))], memory_bytes=2**30
    ) as bank:
        bank.write("tangent", 0, torch.from_numpy(values_NC))
        return bank.grams("tangent")


def score_frame(grams: Mapping[str, GraphGrams]) -> pd.DataFrame:
    """Returns ``target, source`` and a column ``tangent ...`` per score, of all pairs of models."""
    names = list(grams)
    ranks = np.stack([rank_vector(edges_from_gram(one.zscored_NN)) for one in grams.values()])
    columns = {"edge": edge_similarity(ranks, ranks)}
    for score in SCORES:
        vectors = [
            np.stack([score_vectors(score, one, role) for one in grams.values()])
            for role in ("source", "target")
        ]
        columns[score] = score_block(score, *vectors)
    return pd.DataFrame(
        [
            {
                "target": target,
                "source": source,
                **{f"tangent {score}": float(values[s, t]) for score, values in columns.items()},
            }
            for s, source in enumerate(names)
            for t, target in enumerate(names)
            if s != t
        ]
    )


def networks_of(zoo: Zoo) -> dict[str, nn.Module]:
    """Returns the networks of the digits' or of the mini zoo, by name."""
    if zoo.name == "digits":
        return {n: load_encoder(DEFAULT_FOLDER, n) for n in list_encoders(DEFAULT_FOLDER)}
    sys.path.insert(0, zoo.import_path)
    kind = importlib.import_module("encoder").Encoder
    found = {}
    for path in sorted((SHARED / "minizoo").glob("*.pt")):
        found[path.stem] = kind()
        found[path.stem].load_state_dict(torch.load(path, weights_only=True))
    return {name: network.eval() for name, network in found.items()}


def inputs_of(zoo: Zoo, output: str) -> Tensor:
    """Returns the probes of a scan as its networks take them."""
    pixels = torch.from_numpy(open_scan(output).canvases()).permute(0, 3, 1, 2).float() / 255
    if zoo.name == "digits":
        return (pixels[:, :1] - INPUT_MEAN) / INPUT_STD
    return (pixels - 0.45) / 0.25


def judged_zoo(zoo: Zoo, scanned: pd.DataFrame, output: str) -> tuple[Judged, float]:
    """Returns one zoo judged by scores of features and of tangents, and the latters' CPU s."""
    started = time.process_time()
    inputs = inputs_of(zoo, output)
    grams = {name: grams_of(tangents(one, inputs)) for name, one in networks_of(zoo).items()}
    seconds = time.process_time() - started
    frame = scanned.merge(score_frame(grams), on=["target", "source"], validate="one_to_one")
    return judge_zoo(zoo, frame, RULES), seconds / len(grams)


def table(judged: Sequence[Judged]) -> Iterator[str]:
    """Yields the rows of the report: each score of features and of tangents."""
    names = " | ".join(f"{one.zoo}, {len(one.values)} targets" for one in judged)
    yield f"| score | of | mean | {names} |"
    yield f"|---|---|---:|{'---:|' * len(judged)}"
    scores = [(_EDGE, "tangent edge"), *((one, f"tangent {one}") for one in SCORES)]
    rows = []
    for plain, tangent in scores:
        rows += [(plain, "features", plain), (plain, "tangents", tangent)]
    rows += [(rule, "sum", rule) for rule in RULES]
    for name, of, score in rows:
        cells = " | ".join(f"{means(one, score)[0]:.2f}" for one in judged)
        yield f"| {name} | {of} | {mean_over(judged, score)[0]:.2f} | {cells} |"


def main() -> None:
    """Scans both zoos, sketches their tangents, judges, prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 probes")
    quick = parser.parse_args().quick
    num_probes = 40 if quick else _PROBES
    with tempfile.TemporaryDirectory() as folder:
        zoos = [digit_zoo("digits")] if (DIGITS / "zoo" / "truth.csv").exists() else []
        zoos += [mini_zoo(Path(folder))] if (SHARED / "minizoo").is_dir() else []
        frames = scan_all([(zoo, "plain", {}) for zoo in zoos], num_probes, folder)
        found = [
            judged_zoo(zoo, frames[zoo.name, "plain"].models, f"{folder}/plain/{zoo.folder_name}")
            for zoo in zoos
        ]
    judged = [one for one, _ in found]
    value, low, high, _ = paired(judged, _BOTH, LAYER_FORMER, "spearman")
    lines = [
        f"Spearman's correlation with the measured transfers, the mean over targets; {num_probes} "
        f"probes, gradients sketched to {CELLS} cells.",
        "",
        *table(judged),
        "",
        f"{_BOTH} against {LAYER_FORMER}, in pairs (5 to 95 %): {value:+.3f} ({low:+.3f} to "
        f"{high:+.3f}). CPU seconds of the tangents of a network: "
        + ", ".join(f"{seconds:.1f} ({one.zoo})" for one, seconds in found)
        + ".",
        "",
        machine_line("scipy"),
    ]
    write_report("ntk", "python -m benchmarks.ntk", lines, quick=quick)


if __name__ == "__main__":
    main()
