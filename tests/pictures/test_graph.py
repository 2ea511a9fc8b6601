"""Pictures of a DEPARA: its probes, its strongest edges, and what the tables say of two."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from depara import Scan, open_scan
from depara.errors import ConfigError
from depara.pictures import GraphPicture, graph_picture
from depara.pictures.files import encode_figure
from depara.pictures.graph import _thumbnail_px
from depara.pictures.layout import pairwise_distances
from depara.pictures.overlay import thumbnail
from depara.pictures.subject import Subject
from tests.pictures.test_files import HOSTILE


@pytest.fixture(scope="module")
def scan(scan_folder: str) -> Scan:
    return open_scan(scan_folder)


@pytest.fixture(scope="module")
def pair(scan: Scan) -> GraphPicture:
    return graph_picture(scan, "a", against="b", count=16)


def test_the_edges_drawn_are_the_strongest_of_the_probes_shown(
    scan: Scan, pair: GraphPicture
) -> None:
    frame = pair.frame()
    for model in "ab":
        edges = scan.edges(model)[:16, :16]
        rows = frame[frame["model"] == model]
        assert len(rows) == 32
        np.testing.assert_array_equal(rows["cosine"], edges[rows["probe_a"], rows["probe_b"]])
        assert rows["cosine"].min() >= np.sort(edges[np.triu_indices(16, 1)])[-32]
    both = set.intersection(
        *(
            set(zip(rows["probe_a"], rows["probe_b"], strict=True))
            for _, rows in frame.groupby("model")
        )
    )
    assert pair.num_shared == len(both) == frame["shared"].sum() / 2
    assert f"{len(both)} of the 32 edges drawn are in both" in pair.subtitle


def test_edge_similarity_is_that_of_the_tables(scan: Scan, pair: GraphPicture) -> None:
    table = scan.rank_models("a").set_index("source_model")["edge_similarity"]
    assert pair.edge_similarity == pytest.approx(table["b"], abs=1e-6)
    shown = f"{table['b']:.3f}".replace("-", "−")
    assert f"edge_similarity {shown} over all probes" in pair.subtitle


def test_thumbnails_do_not_overlap_and_are_the_probes(scan: Scan, pair: GraphPicture) -> None:
    canvases = scan.canvases(pair.indices)
    for graph in pair.graphs:
        steps = np.abs(graph.places_n2[:, None] - graph.places_n2[None]).max(axis=-1)
        assert steps[np.triu_indices(16, 1)].min() > pair.thumbnail_size
        side = graph.thumbnails_nTT3[0].shape[0]
        np.testing.assert_array_equal(graph.thumbnails_nTT3[5], thumbnail(canvases[5], side))
    figure = pair.figure()
    panel = figure.axes[0]
    assert len(panel.images) == 16
    assert sum(len(lines.get_segments()) for lines in panel.collections) == 32
    low, high = panel.get_xlim()
    x = pair.graphs[0].places_n2[:, 0]
    assert low < x.min() - pair.thumbnail_size / 2
    assert high > x.max() + pair.thumbnail_size / 2


def test_a_graph_beside_itself_stands_the_same_way(scan: Scan) -> None:
    picture = graph_picture(scan, "a", against="a", count=12)
    one, other = picture.graphs
    np.testing.assert_allclose(one.places_n2, other.places_n2, atol=0.05)
    assert picture.num_shared == len(one.cosines_K)
    assert picture.edge_similarity == pytest.approx(1, abs=1e-6)


def test_alike_probes_stand_nearer_than_others(scan: Scan) -> None:
    picture = graph_picture(scan, "a", count=24)
    graph = picture.graphs[0]
    upper = np.triu_indices(24, 1)
    steps = pairwise_distances(graph.places_n2)[upper]
    assert np.corrcoef(steps, 1 - scan.edges("a")[upper])[0, 1] > 0.5
    assert "random sample" not in picture.legend  # all of them are shown
    assert "random sample" in graph_picture(scan, "a", count=10).legend


def test_maps_are_shown_over_the_probes(scan: Scan) -> None:
    plain, over = (graph_picture(scan, "a", count=6, maps=maps) for maps in (False, True))
    assert (plain.graphs[0].places_n2 == over.graphs[0].places_n2).all()
    assert (plain.graphs[0].thumbnails_nTT3[0] != over.graphs[0].thumbnails_nTT3[0]).any()


def test_the_svg_is_whole_in_itself_small_and_the_same_each_time(pair: GraphPicture) -> None:
    data = encode_figure(pair.figure(), "svg")
    assert data == encode_figure(pair.figure(), "svg")
    text = data.decode()
    assert text.count("data:image/png;base64") >= 32
    links = set(re.findall(r'(?:href|src)="([^"]{0,12})', text))
    assert all(link.startswith(("#", "data:image/")) for link in links)


@pytest.mark.parametrize(("count", "graphs", "canvas"), [(40, 1, 224), (40, 2, 224), (200, 2, 448)])
def test_the_svg_of_noise_stays_below_2_mb(count: int, graphs: int, canvas: int) -> None:
    from base64 import b64encode

    from depara.pictures.overlay import encode

    side = _thumbnail_px(count * graphs, canvas)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    assert len(b64encode(encode(noise))) * count * graphs < 1.8e6
    assert side >= 24


def test_hostile_names_are_drawn_as_text(pair: GraphPicture) -> None:
    odd = replace(pair.graphs[0], subject=Subject(HOSTILE, HOSTILE * 9, HOSTILE * 20))
    data = encode_figure(replace(pair, graphs=(odd, pair.graphs[1])).figure(), "svg")
    assert b"<script" not in data


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"model": "zz"}, "no model 'zz'"),
        ({"against": "b:zzz"}, "no layer 'zzz'"),
        ({"count": 2}, "3 to 200 probes, got 2"),
        ({"count": 201}, "3 to 200 probes, got 201"),
    ],
)
def test_wrong_wishes_are_refused_in_plain_words(
    scan: Scan, wanted: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        graph_picture(scan, **{"model": "a", **wanted})
