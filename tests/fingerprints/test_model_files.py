"""What of the files that a model comes from changes its fingerprint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fingerprints.models import config, fingerprint, later


def test_the_weights_change_it(weights: Path, tmp_path: Path) -> None:
    model = config(weights=str(weights))
    seen = [fingerprint(model)]
    later(weights)
    seen.append(fingerprint(model))
    facts = weights.stat()
    weights.write_bytes(b"longer weights")
    os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    seen.append(fingerprint(model))
    copy = tmp_path / "copy.pth"
    copy.write_bytes(weights.read_bytes())
    seen.append(fingerprint(config(weights=str(copy))))
    seen += [fingerprint(config(weights=w)) for w in (None, "DEFAULT", "random:0", "random:1")]
    assert None not in seen
    assert len(set(seen)) == len(seen)


def test_a_link_is_its_target(weights: Path) -> None:
    link = weights.with_name("latest.pth")
    link.symlink_to(weights)
    model = config(weights=str(link))
    before = fingerprint(model)
    assert before is not None
    later(weights)
    after = fingerprint(model)
    assert after != before
    twin = weights.with_name("v2.pth")  # of the same size and time
    twin.write_bytes(weights.read_bytes())
    facts = weights.stat()
    os.utime(twin, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    link.unlink()
    link.symlink_to(twin)
    assert fingerprint(model) not in (before, after, None)
    twin.unlink()
    assert fingerprint(model) is None


def test_a_folder_is_all_its_files(hf_folder: Path) -> None:
    models = [config(f"hf:{hf_folder}"), config(f"timm:local-dir:{hf_folder}")]
    for model in models:
        seen = [fingerprint(model)]
        for name in ("model.safetensors", "deep/preprocessor_config.json"):
            later(hf_folder / name)
            seen.append(fingerprint(model))
        (hf_folder / "added.json").write_text("{}")
        seen.append(fingerprint(model))
        (hf_folder / "added.json").unlink()
        assert seen[-1] != seen[-2] == fingerprint(model)
        assert None not in seen
        assert len(set(seen)) == len(seen)
        (hf_folder / ".git").mkdir(exist_ok=True)
        (hf_folder / ".git" / "index").write_text(str(model))
        assert fingerprint(model) == seen[-2]
    assert fingerprint(config("timm:local-dir:/nowhere/at/all")) is None


def test_a_hub_name_is_its_cached_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    refs = tmp_path / "hub" / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    models = [config("hf:owner/name"), config("timm:hf-hub:owner/name")]
    before = [fingerprint(model) for model in models]
    (refs / "main").write_text("a" * 40)
    cached = [fingerprint(model) for model in models]
    (refs / "main").write_text("b" * 40)
    updated = [fingerprint(model) for model in models]
    for seen in zip(before, cached, updated, strict=True):
        assert None not in seen
        assert len(set(seen)) == 3
    pinned = config("hf:owner/name", kwargs={"revision": "v2"})
    (refs / "v2").write_text("c" * 40)
    first = fingerprint(pinned)
    (refs / "main").write_text("d" * 40)
    assert fingerprint(pinned) == first


def test_files_that_arguments_name_change_it(tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "net.yaml").write_text("depth: 3")
    other = tmp_path / "other.json"
    other.write_text("{}")
    kwargs = {
        "checkpoint_path": str(weights),
        "deep": [{"settings": f"{folder}/"}, f"file://{other}"],
        "act": "relu",
        "name": "no/file.v2",
        "depth": 3,
    }
    model = config("timm:resnet18", kwargs=kwargs)
    seen = [fingerprint(model)]
    for path in (weights, folder / "net.yaml", other):
        later(path)
        seen.append(fingerprint(model))
    assert None not in seen
    assert len(set(seen)) == 4
