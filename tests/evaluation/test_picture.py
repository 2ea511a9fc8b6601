"""The picture draws every score's curve, and asks for matplotlib by name when it is absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from depara.errors import ConfigError
from depara.evaluation import Evaluation, Truth, draw_evaluation, evaluate_scores, plot_evaluation
from tests.evaluation.transfers import random_truth, scored


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    truth = random_truth(8)
    return evaluate_scores(truth, scored(truth, cka=0.7, similarity=0.4), relevant=3)


def test_both_files_are_pictures_and_the_svg_is_the_same_each_time(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    places = [Path(place) for place in plot_evaluation(evaluation, str(tmp_path))]
    assert [place.name for place in places] == ["evaluation.svg", "evaluation.png"]
    first = places[0].read_text()
    assert first.lstrip().startswith("<?xml")
    with Image.open(places[1]) as image:
        assert image.width > 2000
        assert len(image.convert("RGB").getcolors(image.width * image.height)) > 50
    plot_evaluation(evaluation, str(tmp_path))
    assert places[0].read_text() == first


def test_three_panels_draw_the_curves_of_the_evaluation(evaluation: Evaluation) -> None:
    pytest.importorskip("matplotlib")
    panels = draw_evaluation(evaluation).axes
    curve = evaluation.curve("similarity")
    ceiling = (
        evaluation.means("spearman").loc[["ceiling_ranks", "ceiling_values"], "value"].idxmax()
    )
    wanted = ["perfect", "similarity", "cka", "ceiling", "random", "popularity"]
    for axes, (x, y) in zip(
        panels, (("k", "precision"), ("k", "recall"), ("recall", "precision")), strict=True
    ):
        lines = axes.get_lines()
        assert [str(line.get_label()).split()[0].strip(":") for line in lines] == wanted
        np.testing.assert_array_equal(lines[1].get_xdata(), curve[x])
        np.testing.assert_array_equal(lines[1].get_ydata(), curve[y])
        assert str(lines[3].get_label()).endswith(f"({ceiling.removeprefix('ceiling_')})")
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        styles = {(line.get_color(), str(line.get_linestyle())) for line in lines}
        assert len(styles) == len(lines)
    # The band is the interval of the main score.
    assert [len(axes.collections) for axes in panels] == [1, 1, 0]


def test_a_bound_of_one_metric_has_no_curve() -> None:
    pytest.importorskip("matplotlib")
    table = random_truth(6).table
    truth = Truth(pd.concat([table.assign(repeat=name) for name in "12"]))
    evaluation = evaluate_scores(truth, None, relevant=2)
    assert evaluation.means("spearman").loc["ceiling_noise", "value"] == 1  # the highest ceiling
    labels = [str(line.get_label()) for line in draw_evaluation(evaluation).axes[0].get_lines()]
    assert "ceiling: symmetrised truth (ranks)" in labels
    assert not any("noise" in label for label in labels)


def test_scores_can_be_chosen(evaluation: Evaluation) -> None:
    pytest.importorskip("matplotlib")
    labels = [
        str(line.get_label())
        for line in draw_evaluation(evaluation, scores=["cka"]).axes[0].get_lines()
    ]
    assert any(label.startswith("cka") for label in labels)
    assert not any(label.startswith("similarity") for label in labels)
    with pytest.raises(ConfigError, match="no score 'ckaa'; did you mean 'cka'"):
        draw_evaluation(evaluation, scores=["ckaa"])


def test_baselines_alone_can_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    evaluation = evaluate_scores(random_truth(5), None, relevant=1, bootstrap=0)
    assert len(draw_evaluation(evaluation).axes[0].get_lines()) == 4


def test_without_matplotlib_the_extra_is_named(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r'pip install "depara\[plot\]"'):
        plot_evaluation(evaluation, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = (
        "import depara.evaluation, sys; print('matplotlib' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
