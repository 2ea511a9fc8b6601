from __future__ import annotations

import pytest

from depara.weights_names import has_weights_suffix, weights_stem


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("ck/model_best.pth.tar", "model_best"),
        ("s3://zoo/A.PT.TAR", "A"),
        ("net.SafeTensors", "net"),
        ("epoch=3-loss=0.25.ckpt", "epoch=3-loss=0.25"),
        ("x.th", "x"),
    ],
)
def test_weights_of_every_usual_suffix(name: str, stem: str) -> None:
    assert has_weights_suffix(name)
    assert weights_stem(name) == stem


@pytest.mark.parametrize("name", ["data.tar", "notes.txt", "epoch=3-loss=0.25", "pth", "a.tar.gz"])
def test_other_names_keep_their_suffix(name: str) -> None:
    assert not has_weights_suffix(name)
    assert weights_stem(f"ck/{name}") == name
