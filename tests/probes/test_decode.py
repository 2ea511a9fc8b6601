"""Many probes at once: order, threads, failures that cost only themselves, real photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depara import locations
from depara.errors import ProbeError
from depara.probes import decode_probe, decode_probes
from depara.probes import storage as storage_module
from depara.types import ProbeRef
from tests.probes.pictures import encode, list_probes, picture, png_header, slow_canvas


def write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_same_bytes_same_id_whatever_the_name(tmp_path: Path) -> None:
    data = encode(picture(90, 60), "JPEG")
    first = decode_probe(ProbeRef(write(tmp_path / "a.jpg", data), "cat"), 32)
    second = decode_probe(ProbeRef(write(tmp_path / "sub" / "b.png", data)), 32)
    assert first.probe_id == second.probe_id
    np.testing.assert_array_equal(first.canvas_SS3, second.canvas_SS3)
    assert (first.label, second.label) == ("cat", None)
    assert (first.width, first.height) == (90, 60)


def test_every_bad_image_is_a_failure_and_the_others_are_decoded(tmp_path: Path) -> None:
    good = encode(picture(90, 60), "JPEG")
    files = {
        "a_good.jpg": good,
        "b_truncated.jpg": good[: len(good) // 2],
        "c_text.jpg": b"not an image",
        "d_empty.png": b"",
        "e_pixel.png": encode(Image.new("RGB", (1, 1))),
        "f_huge.png": png_header(20_000, 10_000),
        "g_good.png": encode(picture(60, 90, seed=1)),
    }
    refs = [ProbeRef(write(tmp_path / name, data)) for name, data in files.items()]
    (tmp_path / "h_folder.jpg").mkdir()
    refs += [ProbeRef(str(tmp_path / "h_folder.jpg")), ProbeRef(str(tmp_path / "i_missing.jpg"))]
    refs += [ProbeRef("package://no_such_package/x.jpg"), ProbeRef("nosuch://bucket/x.jpg")]
    decoded, failures = decode_probes(refs, 32)
    assert [Path(probe.uri).name for probe in decoded] == ["a_good.jpg", "g_good.png"]
    assert [failure.message.split(": ")[0] for failure in failures] == [
        ref.uri for ref in refs if "good" not in ref.uri
    ]
    assert {failure.stage for failure in failures} == {"probes"}
    assert {failure.model_id for failure in failures} == {""}
    assert [failure.error_type for failure in failures[-3:]] == [
        "ProbeError",
        "ConfigError",
        "ConfigError",
    ]
    assert "does not exist" in failures[-3].message


def test_one_bad_probe_raises_with_its_name(tmp_path: Path) -> None:
    uri = write(tmp_path / "x.png", b"nothing")
    with pytest.raises(ProbeError, match=r"x\.png: starts with b'nothing'"):
        decode_probe(ProbeRef(uri), 32)


def test_files_too_large_to_be_images_are_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "MAX_FILE_BYTES", 100)
    with pytest.raises(ProbeError, match="larger than"):
        decode_probe(ProbeRef(write(tmp_path / "x.png", encode(picture(60, 60)))), 32)


def test_threads_never_change_the_result(tmp_path: Path) -> None:
    refs = [
        ProbeRef(write(tmp_path / f"{seed}.jpg", encode(picture(90, 60, seed), "JPEG")))
        for seed in range(12)
    ]
    refs.insert(5, ProbeRef(write(tmp_path / "bad.jpg", b"bad")))
    alone, alone_failed = decode_probes(refs, 32, threads=1)
    together, together_failed = decode_probes(refs, 32, threads=4)
    assert [probe.uri for probe in alone] == [ref.uri for ref in refs if "bad" not in ref.uri]
    assert [probe.probe_id for probe in alone] == [probe.probe_id for probe in together]
    assert [probe.uri for probe in alone] == [probe.uri for probe in together]
    assert alone_failed == together_failed


def test_nothing_to_decode() -> None:
    assert decode_probes([], 32) == ([], [])


def test_a_storage_that_fails_for_one_probe_costs_that_probe(
    put_memory: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = put_memory("photos/a.png", encode(picture(60, 60)))
    bad = put_memory("photos/b.png", encode(picture(60, 60, seed=1)))
    real = locations.open_binary

    def flaky(uri: str) -> object:
        if uri == bad:
            raise RuntimeError("connection reset by the test")
        return real(uri)

    monkeypatch.setattr(locations, "open_binary", flaky)
    decoded, [failure] = decode_probes([ProbeRef(bad), ProbeRef(good)], 32)
    assert [probe.uri for probe in decoded] == [good]
    assert failure.message.startswith(f"{bad}: cannot be read (RuntimeError: connection reset")


@pytest.mark.shared
def test_real_photos_become_distinct_canvases(shared_data: Path) -> None:
    for name, count in (("visda200", 200), ("imagenet100", 100)):
        refs = list_probes(str(shared_data / "probes" / name))
        decoded, failures = decode_probes(refs, 64, threads=2)
        assert failures == []
        assert len(decoded) == len({probe.probe_id for probe in decoded}) == count
        assert all(probe.canvas_SS3.std() > 4 for probe in decoded)


@pytest.mark.shared
def test_real_photos_have_the_canvas_of_their_definition(shared_data: Path) -> None:
    """Decoding JPEGs at reduced scale must not show: a level on average, on real detail."""
    for ref in list_probes(str(shared_data / "probes" / "imagenet100"))[::12]:
        with Image.open(ref.uri) as image:
            expected = slow_canvas(image, 64)
        probe = decode_probe(ref, 64)
        assert np.abs(probe.canvas_SS3 - expected).mean() < 1.0, ref.uri
        assert np.abs(probe.canvas_SS3.mean((0, 1)) - expected.mean((0, 1))).max() < 0.7, ref.uri
