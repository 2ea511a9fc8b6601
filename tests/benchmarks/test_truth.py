"""The truth suite: what it is made of, how a zoo of it is made, and how rules are judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.truth import make
from benchmarks.truth.images import FONTS, LETTERS, load_images
from benchmarks.truth.rules import (
    FORMER,
    Judged,
    by_source,
    judge,
    left_out_choice,
    means,
    paired,
)
from benchmarks.truth.suite import ZOOS, MadeZoo, Member
from benchmarks.truth.tasks import TASKS_OF
from depara.evaluation import load_truth
from examples.digits.fit import Settings


def test_it_is_large_enough_to_decide_by() -> None:
    assert len(ZOOS) >= 8
    assert sum(len(zoo.members) for zoo in ZOOS) >= 100
    with_layers = [zoo for zoo in ZOOS if zoo.layer_sources]
    assert len(with_layers) >= 4, "to choose a rule with a zoo left out"
    assert len({zoo.images for zoo in with_layers}) >= 3
    for zoo in with_layers:
        assert len(zoo.layer_sources) >= 6
        assert len(zoo.layer_targets) >= 8
        assert zoo.layer_repeats >= 2
        names = {member.name for member in zoo.members}
        assert {*zoo.layer_sources, *zoo.layer_targets} <= names
    for zoo in ZOOS:
        assert set(zoo.tasks) <= set(TASKS_OF[zoo.images])
        names = [member.name for member in zoo.members]
        assert len(set(names)) == len(names)
        starts = {member.start for member in zoo.members} - {None}
        assert starts <= {member.name for member in zoo.members if member.start is None}


@pytest.mark.parametrize("name", ["letters", "photos"])
def test_pictures_are_the_same_on_every_call_and_parts_differ(name: str) -> None:
    load_images.cache_clear()
    first = load_images(name, "held_out")
    load_images.cache_clear()
    again, train = load_images(name, "held_out"), load_images(name, "train")
    np.testing.assert_array_equal(first.pictures_NSS, again.pictures_NSS)
    seen = {picture.tobytes() for picture in train.pictures_NSS}
    shared = sum(picture.tobytes() in seen for picture in first.pictures_NSS)
    assert shared <= 0.05 * len(first), "small letters in few places may come twice"
    assert first.pictures_NSS.std() > 20


def test_tasks_ask_for_what_the_labels_say() -> None:
    tasks, chance = TASKS_OF["letters"], torch.Generator().manual_seed(0)
    pictures = torch.zeros(3, 1, 32, 32)
    labels = torch.tensor(
        [
            LETTERS.index(letter) * len(FONTS) + FONTS.index(font)
            for letter, font in (
                ("A", "DejaVuSans-Bold"),
                ("B", "DejaVuSerif-Italic"),
                ("Z", "STIXGeneralBolIta"),
            )
        ]
    )
    expected = {
        "letter": [0, 1, 25],
        "vowel": [1, 0, 0],
        "bold": [1, 0, 1],
        "slanted": [0, 1, 1],
        "family": [0, 1, 3],
    }
    for name, values in expected.items():
        assert tasks[name].examples(pictures, labels, chance).targets.tolist() == values, name


def test_a_zoo_is_made_once_and_its_truth_has_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = Settings(steps=3, batch_size=8)
    members = (
        Member("bold", "bold", "residual", brief),
        Member("rotation-mixer", "rotation", "mixer", brief),
        Member("bold-from-bold", "bold", "residual", brief, start="bold"),
    )
    zoo = MadeZoo("tiny, for a test", "letters", members, pictures=20)
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    monkeypatch.setattr(make, "ZOOS", (zoo,))
    monkeypatch.setattr(make, "BRIEF", replace(make.BRIEF, steps=2, batch_size=8))
    make.main(["--workers", "1", "--zoos", zoo.name])
    truth = load_truth(str(make.folder_of(zoo) / "truth.csv"))
    assert len(truth.table) == 3 * 2
    assert truth.repeats is not None
    assert [jobs for jobs in make.missing(zoo) if jobs] == []
    other = replace(zoo, members=(replace(members[0], training=replace(brief, steps=4)),))
    assert [job.function for jobs in make.missing(other) for job in jobs] == ["train", "decode"]


def test_the_cuts_of_any_network_are_measured_and_a_part_of_them_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = Settings(steps=3, batch_size=8)
    members = (
        Member("bold-vit", "bold", "vit", brief),
        Member("rotation-vit", "rotation", "vit", brief),
        Member("rotation-mixer", "rotation", "mixer", brief),
        Member("mirror-vit", "mirror", "vit", brief),
    )
    zoo = MadeZoo(
        "tiny, of tokens",
        "letters",
        members,
        layer_sources=("bold-vit", "rotation-vit"),
        layer_targets=("bold-vit", "rotation-vit", "rotation-mixer"),
    )
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    monkeypatch.setattr(make, "ZOOS", (zoo,))
    monkeypatch.setattr(make, "FINE_TUNING", replace(make.FINE_TUNING, steps=2, batch_size=8))
    assert sum(len(jobs) for jobs in make.missing(zoo, only_layers=True)) == 3 + 2
    make.main(["--workers", "1", "--layers"])
    assert [jobs for jobs in make.missing(zoo, only_layers=True) if jobs] == []
    assert not make.weights_path(zoo, members[3]).exists(), "no part of the layer truth"
    truth = load_truth(str(make.folder_of(zoo) / "layer_truth.csv"))
    pairs = {(row.source, row.target) for row in truth.table.itertuples()}
    own = {("bold-vit", "rotation-vit"), ("bold-vit", "rotation-mixer")}
    assert pairs == own | {("rotation-vit", "bold-vit")}, "an own task is no transfer"
    assert len(truth.table) == 3 * 6
    assert truth.repeats is not None
    (make.folder_of(zoo) / "cuts" / "rotation-vit-bold.json").unlink()
    found, due = make.measured_cuts(zoo)
    assert ({(s.name, t.name) for s, t in found}, due) == (own, 3)
    make.write_layer_truth(zoo)
    part = load_truth(str(make.folder_of(zoo) / "layer_truth.csv"))
    assert len(part.table) == 2 * 6


def made_zoo(name: str, gain: float, *, is_mixed: bool, folder: Path) -> Judged:
    """Scores of a random truth: ``directed`` follows it more closely by ``gain``."""
    rng = np.random.default_rng(len(name))
    sources = [f"s{n}" for n in range(12)]
    rows, truth = [], []
    for target in (f"t{n}-a" for n in range(10)):
        value = rng.random(12)
        noise = rng.standard_normal((4, 12))
        for place, source in enumerate(sources):
            own = value[place]
            truth.append((target, source, own))
            rows.append(
                {
                    "target": target,
                    "source": source,
                    "node_similarity": own + noise[0, place],
                    "node_centred": noise[1, place],
                    "edge_similarity": own + noise[2, place],
                    "directed": (1 + gain) * own + (1 - gain) * noise[3, place],
                }
            )
    path = folder / f"{name}.csv"
    pd.DataFrame(truth, columns=["target", "source", "value"]).to_csv(path, index=False)
    return judge(name, str(path), pd.DataFrame(rows), relevant=3, is_mixed=is_mixed, decided=False)


def test_rules_are_judged_in_pairs_and_with_a_zoo_left_out(tmp_path: Path) -> None:
    zoos = [made_zoo(name, 0.9, is_mixed=False, folder=tmp_path) for name in ("a", "bb", "ccc")]
    value, low, high, share = paired(zoos, "V + E + D", FORMER, "spearman")
    expected = np.mean([means(z, "V + E + D")[0] - means(z, FORMER)[0] for z in zoos])
    assert value == pytest.approx(expected)
    assert 0 < low < value < high
    assert share > 0.99
    assert paired(zoos, FORMER, FORMER, "regret")[:3] == (0, 0, 0)
    choice = left_out_choice(zoos)
    assert choice["zoo"].tolist() == ["a", "bb", "ccc"]
    assert set(choice["rule"]) <= {"V + E + D", "V + Vc + E + D"}
    assert (choice["spearman"] > choice["former_spearman"]).all()


def test_layer_queries_of_a_source_are_drawn_together(tmp_path: Path) -> None:
    zoo = made_zoo("a", 0.9, is_mixed=False, folder=tmp_path)
    index = [f"t{n} < {'one' if n < 5 else 'two'}" for n in range(10)]
    judged = by_source(replace(zoo, values=zoo.values.set_axis(index)))
    assert list(judged.group) == ["one"] * 5 + ["two"] * 5


def test_targets_that_share_their_truth_are_drawn_together(tmp_path: Path) -> None:
    zoo = made_zoo("a", 0.9, is_mixed=True, folder=tmp_path)
    together = Judged(zoo.zoo, True, False, zoo.values, ["one"] * 5 + ["two"] * 5)
    wide = paired([together], "V + E + D", FORMER, "spearman")
    narrow = paired([zoo], "V + E + D", FORMER, "spearman")
    assert wide[0] == pytest.approx(narrow[0])
    gains = zoo.values["V + E + D"]["spearman"] - zoo.values[FORMER]["spearman"]
    halves = sorted(gains.to_numpy().reshape(2, 5).mean(axis=1))
    assert wide[1:3] == pytest.approx(halves), "either half is drawn twice in a quarter of all"
    alone = Judged(zoo.zoo, True, False, zoo.values, ["one"] * 10)
    assert paired([alone], "V + E + D", FORMER, "spearman")[1] == pytest.approx(wide[0])
