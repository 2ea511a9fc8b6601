"""Pictures of attributions: the numbers in them are those of the tables, the pixels those asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from depara import Scan, open_scan
from depara.errors import ConfigError
from depara.pictures import AttributionPicture, attribution_picture
from depara.pictures.files import encode_figure
from depara.pictures.overlay import colour_scale, in_cells, map_image, overlay, thumbnail
from depara.pictures.subject import Subject, find_subject
from tests.pictures.test_files import HOSTILE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@pytest.fixture(scope="module")
def scan(scan_folder: str) -> Scan:
    return open_scan(scan_folder)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def images(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_the_cosines_shown_are_those_of_the_tables(scan: Scan) -> None:
    picture = attribution_picture(scan, "a", against="b")
    table = scan.rank_models("a").set_index("source_model")["node_similarity"]
    assert picture.node_similarity == pytest.approx(table["b"], abs=1e-6)
    shown = f"{table['b']:.3f}".replace("-", "−")
    assert f"mean cosine of the maps: {shown} over all probes (node_similarity)" in picture.subtitle
    for probe, cosine in zip(picture.probes, picture.frame()["cosine"], strict=True):
        own, other = (scan.attribution(model, None, probe.index) for model in "ab")
        assert cosine == pytest.approx(float((own * other).sum()), abs=1e-6)
    written = texts(picture.figure())
    assert "A  a at code" in written
    assert "B  b at code" in written
    first = f"{picture.frame()['cosine'][0]:.2f}".replace("-", "−")
    assert first in written


def test_probes_beside_another_model_go_from_agreement_to_disagreement(scan: Scan) -> None:
    picture = attribution_picture(scan, "a", against="b:block1", count=4)
    cosines = picture.frame()["cosine"].to_numpy()
    every = attribution_picture(scan, "a", against="b:block1", count=24).frame()["cosine"]
    assert (np.diff(cosines) <= 0).all()
    assert cosines[0] == every.max()
    assert cosines[-1] == every.min()
    assert every.mean() == pytest.approx(picture.node_similarity, abs=1e-6)


def test_the_pixels_are_the_probe_and_its_attribution(scan: Scan) -> None:
    picture = attribution_picture(scan, "a", "block1", probes=[7, 3])
    assert [probe.index for probe in picture.probes] == [7, 3]
    canvases = scan.canvases([7, 3])
    maps = scan.attributions("a", "block1", [7, 3])
    scale = colour_scale(*maps)
    shown = images(picture.figure())
    assert len(shown) == 2 * 3 + 1
    for row in range(2):
        probe, over, alone = shown[3 * row : 3 * row + 3]
        side = probe.shape[0]
        assert side % 32 == 0
        np.testing.assert_array_equal(probe, thumbnail(canvases[row], side))
        np.testing.assert_array_equal(over, overlay(canvases[row], maps[row], side, scale))
        np.testing.assert_array_equal(alone, map_image(maps[row], side, scale))
    assert "cosine" not in texts(picture.figure())


def test_large_maps_are_shown_as_sums_over_cells(scan: Scan) -> None:
    picture = attribution_picture(scan, "a", probes=[0], cells=8)
    summed = scan.attribution("a", None, 0).reshape(8, 4, 8, 4).sum(axis=(1, 3))
    np.testing.assert_allclose(in_cells(picture.maps_SnMM[0][0], 8), summed, atol=1e-6)
    shown = images(picture.figure())[2].astype(int)
    expected = map_image(summed, shown.shape[0], colour_scale(summed))
    np.testing.assert_allclose(shown, expected, atol=1)
    assert any("per cell of 4 x 4 px" in text for text in texts(picture.figure()))


def test_the_colours_of_a_pair_end_at_scales_that_are_stated(scan: Scan) -> None:
    figure = attribution_picture(scan, "a", against="c", probes=["0"]).figure()
    ends = [f"{colour_scale(scan.attribution(model, None, 0)):.2g}" for model in "ac"]
    written = texts(figure)
    assert f"A over it, ±{ends[0]}" in written
    assert f"B over it, ±{ends[1]}" in written
    ticks = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert ticks == [f"−{ends[0]} A, −{ends[1]} B", "0", f"+{ends[0]} A, +{ends[1]} B"]


def test_a_graph_with_itself_agrees_wholly(scan: Scan) -> None:
    picture = attribution_picture(scan, "a", against="a:code")
    assert picture.node_similarity == pytest.approx(1, abs=1e-3)


def test_graphs_with_notes_are_marked_and_the_note_is_printed(
    scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        ("a", "extract", "code", "conditioning", "30 % of its maps is noise\nof float32"),
        ("a", "resolve", None, "input", "assumed"),
        ("b", "extract", "block1", "conditioning", "another layer"),
    ]
    columns = ["model_id", "stage", "layer", "kind", "message"]
    notes = pd.DataFrame(rows, columns=columns)
    real = Scan.table
    monkeypatch.setattr(
        Scan, "table", lambda self, name: notes if name == "notes" else real(self, name)
    )
    assert find_subject(scan, "a", "block1").note is None
    assert find_subject(scan, "b").note is None
    picture = attribution_picture(scan, "a", against="b", count=2)
    assert picture.titles == ["A  a at code ~", "B  b at code"]
    written = texts(picture.figure())
    assert "~ a: 30 % of its maps is noise\\nof float32" in written


def test_maps_that_are_all_zero_are_said_to_be(scan: Scan) -> None:
    picture = attribution_picture(scan, "a", probes=[0, 1])
    empty = (np.zeros_like(picture.maps_SnMM[0]),)
    figure = replace(picture, maps_SnMM=empty).figure()
    assert texts(figure).count("all zero") == 2
    assert (images(figure)[2] == 255).all()


def test_hostile_and_long_names_are_drawn_as_text(scan: Scan) -> None:
    picture = attribution_picture(scan, "a", probes=[0])
    subject = Subject(HOSTILE, "layer." * 40, f"note {HOSTILE}")
    probe = replace(picture.probes[0], uri=f"/x/{HOSTILE}" + "z" * 90, label=HOSTILE)
    odd = replace(picture, subjects=(subject,), probes=(probe,))
    figure = odd.figure()
    assert all(len(title) <= 50 for title in odd.titles)
    assert "\x1b" not in "".join(texts(figure))
    for kind in ("png", "svg", "pdf"):
        assert encode_figure(figure, kind)


def test_the_name_that_is_longer_is_shortened() -> None:
    assert Subject("model", "l" * 99, None).title(40).startswith("model at lll")
    assert Subject("m" * 99, "layer", None).title(40).endswith("mmm at layer")
    both = Subject("m" * 99, "l" * 99, "why").title(41)
    assert both.count("…") == 2
    assert both.endswith(" ~")
    assert len(both) <= 41


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"model": "zz"}, "no model 'zz'; it has a, b, c"),
        ({"layer": "cod"}, "did you mean 'code'"),
        ({"against": "b:cod"}, "did you mean 'code'"),
        ({"against": "bb"}, "did you mean 'b'"),
        ({"probes": ["nothing.jpg"]}, "no probe 'nothing.jpg'"),
        ({"probes": list(range(24)) * 2}, "1 to 40 probes, got 48"),
        ({"count": 0}, "1 to 40 probes, got 0"),
    ],
)
def test_wrong_wishes_are_refused_in_plain_words(
    scan: Scan, wanted: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        attribution_picture(scan, **{"model": "a", **wanted})


def test_pictures_are_the_same_each_time(scan: Scan) -> None:
    first, second = (attribution_picture(scan, "a", against="b", count=2) for _ in range(2))
    assert isinstance(first, AttributionPicture)
    assert encode_figure(first.figure(), "svg") == encode_figure(second.figure(), "svg")
