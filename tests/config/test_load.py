"""The scan file: merging, overrides, presets, globs, and one clear message per mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from depara.catalog import DEFAULT_LAYER_TERMS
from depara.config import PRESETS, load_scan_file, parse_scan, render_scan
from depara.errors import ConfigError

MINIMAL = """
probes: {source: photos/}
models:
  - {id: a, source: "torchvision:resnet18"}
  - {id: b, source: "torchvision:vgg11", layers: [features.0], input: {side: 64}}
"""


def test_defaults_are_the_documented_ones() -> None:
    config = parse_scan(MINIMAL).config
    assert config.output == "./depara-out"
    assert config.probes.count == 200
    assert config.canvas.side == config.map_side == 224
    assert (config.attribution.method, config.attribution.scalar) == ("grad_input", "l2norm")
    assert config.edges.normalize == "zscore"
    assert config.similarity.lambda_ == 1.0
    assert config.similarity.terms == {"node": 1.0, "edge": 1.0, "directed": 1.0}
    assert config.compute.memory == 4 * 1024**3
    assert config.models[0].layers == "blocks"


def test_a_rendered_scan_reads_back_equal() -> None:
    config = parse_scan(MINIMAL, ["compute.memory=1GiB", "edges.normalize=null"]).config
    assert parse_scan(render_scan(config)).config == config
    config = parse_scan(MINIMAL, ["similarity.layer_terms={gulp: 1}"]).config
    assert parse_scan(render_scan(config)).config == config


def test_layers_are_ranked_as_models_are_unless_they_have_weights_of_their_own() -> None:
    def weights(*overrides: str) -> tuple[dict[str, float], dict[str, float] | None]:
        similarity = parse_scan(MINIMAL, overrides).config.similarity
        return similarity.layer_terms, similarity.own_layer_terms

    paper = {"node": 1.0, "edge": 2.0}
    assert weights()[0] == dict(DEFAULT_LAYER_TERMS)
    assert weights("similarity.lambda=2") == (paper, None)
    assert weights("similarity.terms={node: 1, edge: 2}") == (paper, None)
    own = {"edge": 1.0, "gulp": 3.0}
    assert weights("similarity.lambda=2", "similarity.layer_terms={edge: 1, gulp: 3}") == (own, own)
    same = {"node": 1.0, "edge": 2.0, "gulp": 0.0}
    assert weights("similarity.lambda=2", f"similarity.layer_terms={same}") == (same, None)
    scan = parse_scan(MINIMAL, ["similarity.scores=[]", "similarity.layer_terms={gulp: 1}"])
    assert set(scan.config.similarity.computed_scores) == {"directed", "gulp"}
    for wrong, message in (("{gulp: 0}", "every weight is 0"), ("{stich: 1}", "stich")):
        with pytest.raises(ConfigError, match=message):
            weights(f"similarity.layer_terms={wrong}")


def test_overrides_address_fields_and_models_by_id_or_number() -> None:
    overrides = ["probes.count=20", "models.a.layers=output", "models.1.id=c", "canvas.side=64"]
    config = parse_scan(MINIMAL, overrides).config
    assert config.probes.count == 20
    assert config.models[0].layers == "output"
    assert config.models[1].id == "c"
    assert config.canvas.side == 64


def test_whether_count_was_given_is_known() -> None:
    assert not parse_scan(MINIMAL).count_is_given
    assert parse_scan(MINIMAL, ["probes.count=9"]).count_is_given


def test_defaults_are_merged_into_every_model_and_a_model_wins() -> None:
    text = MINIMAL + "defaults: {layers: stages, input: {side: 32, mean: [0.5], std: [0.5]}}\n"
    first, second = parse_scan(text).config.models
    assert first.layers == "stages"
    assert first.input.side == 32
    assert second.layers == ["features.0"]
    assert (second.input.side, second.input.mean) == (64, [0.5])


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_preset_sets_fields_and_an_explicit_field_wins(preset: str) -> None:
    plain = parse_scan(MINIMAL, [f"preset={preset}"]).config
    wanted = PRESETS[preset]
    assert plain.attribution.scalar == wanted["attribution"]["scalar"]
    assert plain.attribution.channels == wanted["attribution"]["channels"]
    assert plain.edges.normalize == wanted["edges"]["normalize"]
    mixed = parse_scan(MINIMAL, [f"preset={preset}", "edges.normalize=zscore"]).config
    assert mixed.edges.normalize == "zscore"
    assert mixed.attribution.scalar == wanted["attribution"]["scalar"]


def test_null_twins_are_written_out_and_stay_so() -> None:
    text = MINIMAL + "nulls: 1\n"
    config = parse_scan(text).config
    assert [model.id for model in config.models] == ["a", "b", "a.null0", "b.null0"]
    twin = config.models[3]
    assert (twin.weights, twin.null_of, twin.layers) == ("random:0", "b", ["features.0"])
    assert parse_scan(render_scan(config)).config == config


def test_a_glob_of_checkpoints_makes_one_model_per_file(tmp_path: Path) -> None:
    for name in ("x.pth", "y 1.safetensors", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    text = f"""
probes: {{source: photos/}}
models: [{{id: "net-{{stem}}", source: "python:a:b", weights: "{tmp_path}/*"}}]
"""
    models = parse_scan(text).config.models
    assert [model.id for model in models] == ["net-x", "net-y_1"]
    assert models[0].weights == str(tmp_path / "x.pth")
    with pytest.raises(ConfigError, match=r"no \{stem\}"):
        parse_scan(text.replace("{stem}", "s"))
    with pytest.raises(ConfigError, match="matches no checkpoint"):
        parse_scan(text.replace("/*", "/*.nothing"))


def _globbed(folder: Path, pattern: str, names: list[str]) -> dict[str, str]:
    """Returns weights by id, both without the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    entry = {"id": "{stem}", "source": "python:a:b", "weights": f"{folder}/{pattern}"}
    text = yaml.safe_dump({"probes": {"source": "photos/"}, "models": [entry]})
    models = parse_scan(text).config.models
    return {model.id: str(model.weights).removeprefix(f"{folder}/") for model in models}


@pytest.mark.parametrize(
    ("pattern", "names", "expected"),
    [
        (
            "*.pth.tar",
            ["a.pth.tar", "B.PTH.TAR", "c.tar"],
            {"a": "a.pth.tar"},
        ),
        (
            "*",
            ["a.pt.tar", "B.PTH", "c.th", "readme.md"],
            {"a": "a.pt.tar", "B": "B.PTH", "c": "c.th"},
        ),
        ("*.[pP]*", ["a.pt", "B.PTH"], {"a": "a.pt", "B": "B.PTH"}),
        (
            "epoch_*",
            ["epoch_1", "epoch_2", "epoch_2.log"],
            {"epoch_1": "epoch_1", "epoch_2": "epoch_2"},
        ),
        (
            "*.weights",
            ["a.weights", "b.weights"],
            {"a.weights": "a.weights", "b.weights": "b.weights"},
        ),
        (
            "*/best.pth",
            ["x/best.pth", "y/best.pth"],
            {"x-best": "x/best.pth", "y-best": "y/best.pth"},
        ),
        ("**/m.pt", ["x/1/m.pt", "x/2/m.pt"], {"1-m": "x/1/m.pt", "2-m": "x/2/m.pt"}),
        ("run[1]/*.pth", ["run[1]/a.pth", "run1/b.pth"], {"a": "run[1]/a.pth"}),
        ("run[[]1]/*.pth", ["run[1]/a.pth", "run1/b.pth"], {"a": "run[1]/a.pth"}),
        ("run[12]/*.pth", ["run1/a.pth", "run2/b.pth"], {"a": "run1/a.pth", "b": "run2/b.pth"}),
    ],
)
def test_globs_of_checkpoints_of_usual_names(
    tmp_path: Path, pattern: str, names: list[str], expected: dict[str, str]
) -> None:
    assert _globbed(tmp_path, pattern, names) == expected


@pytest.mark.parametrize("name", ["net[1].pth", "sweep[lr=0.1]/a*.pth", "what?.pth"])
def test_a_file_that_exists_is_taken_by_its_name(tmp_path: Path, name: str) -> None:
    others = ["net1.pth", "sweepl/ab.pth", "whats.pth"]
    assert list(_globbed(tmp_path, name, [name, *others]).values()) == [name]


def test_the_folder_of_the_scan_may_have_signs_in_its_name(tmp_path: Path) -> None:
    assert _globbed(tmp_path / "a[b]c", "*.pth", ["x.pth"]) == {"x": "x.pth"}


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("- 1", [], "must be a mapping"),
        ("a: [", [], "not valid YAML"),
        (MINIMAL + "models: []", [], "'models' stands twice"),
        (MINIMAL, ["probes.cuont=3"], r"probes\.cuont: unknown key; did you mean 'count'"),
        (MINIMAL, ["atribution.scalar=mean"], "did you mean 'attribution'"),
        (MINIMAL, ["models.a.wieghts=x"], r"models\.0\.wieghts: unknown key; .*'weights'"),
        (MINIMAL, ["similarity.lamda=1"], "did you mean 'lambda'"),
        (MINIMAL, ["attribution.scalar=l1norm"], "'l2norm' or 'mean', got 'l1norm'"),
        (MINIMAL, ["attribution.map_side=50"], "does not divide canvas.side 224: use one of"),
        (MINIMAL, ["models.1.id=a"], "two models have the id 'a'"),
        (MINIMAL, ["models.0.id=a/b"], "is no model id"),
        (MINIMAL, ["probes.count=2"], "greater than or equal to 4"),
        (MINIMAL, ["compute.num_gpus=1.5"], "only whole numbers"),
        (MINIMAL, ["compute.memory=1MiB"], "at least 64MiB"),
        (MINIMAL, ["models.0.weights_sha256=abc"], "64 hexadecimal digits"),
        (MINIMAL, ["models.0.input.std=[0]"], "std must be positive"),
        (MINIMAL, ["models.0.input.mean=[.nan]"], "mean must be finite"),
        (MINIMAL, ["models.0.input.std=[.inf]"], "std must be finite"),
        (MINIMAL, ["models.0.input.scale=255"], "scale 255 needs mean and std"),
        (
            MINIMAL,
            ["models.0.input.channel_order=bgr", "models.0.input.mean=[0.5]"],
            "channel_order bgr needs three channels",
        ),
        (MINIMAL, ["models.0.input.channel_order=grb"], "'rgb' or 'bgr', got 'grb'"),
        (MINIMAL, ["models.zz.id=a"], "no entry 'zz' among 2: the ids are 'a', 'b'"),
        (MINIMAL, ["similarity.hard=[25, 50, 25]"], "a share is given twice"),
        (MINIMAL, ["similarity.hard=[0]"], "greater than or equal to 1"),
        (MINIMAL, ["probes"], "expected FIELD=VALUE"),
        ("probes: {source: x}", [], "models: missing"),
        ("probes: {source: x}\nmodels: []", [], "at least 1 item"),
    ],
)
def test_a_mistake_gives_one_clear_message(text: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_scan(text, overrides)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_scan_file(str(tmp_path / "none.yaml"))
    (tmp_path / "scan.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"does not exist; did you mean 'scan\.yaml'"):
        load_scan_file(str(tmp_path / "scna.yaml"))
    with pytest.raises(ConfigError, match="there is no folder"):
        load_scan_file(str(tmp_path / "none" / "scan.yaml"))
    with pytest.raises(ConfigError, match="is a folder"):
        load_scan_file(str(tmp_path))
