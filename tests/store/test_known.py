"""Cards of unchanged models: exact, or as if never written."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depara.errors import StorageUnavailableError
from depara.store import known
from depara.store.known import (
    cards_from_json,
    cards_to_json,
    known_cards,
    read_cards,
    write_card,
    write_cards,
)
from depara.store.storage import Storage
from depara.types import InputSpec, LayerInfo, ModelCard
from tests.store.damage import damages, refuse

F1, F2, F3 = "1" * 32, "2" * 32, "3" * 32


def card(name: str = "net") -> ModelCard:
    layers = (
        LayerInfo("block1", 0, 1 / 3, 24, (6, 2, 2)),
        LayerInfo("output", 1, 1.0, 10, (10,)),
    )
    spec = InputSpec(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return ModelCard(
        name, "timm:x", "x {} tree:1", "ab" * 32, 10**12, spec, layers, "output", 0.1 + 0.2, 2**40
    )


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "out"))


def path_of(storage: Storage, path: str) -> Path:
    return Path(storage.location(path))


finite = st.floats(allow_nan=False)
names = st.text(max_size=8)
positive = st.floats(min_value=0, exclude_min=True, allow_nan=False)
specs = st.sampled_from([1, 3]).flatmap(
    lambda n: st.builds(
        InputSpec,
        side=st.integers(min_value=1),
        mean=st.tuples(*n * [finite]),
        std=st.tuples(*n * [positive]),
        channel_order=st.sampled_from(["rgb", "bgr"][: (n + 1) // 2]),
    )
)
layer_infos = st.builds(
    LayerInfo,
    name=names,
    depth=st.integers(),
    depth_fraction=finite,
    num_features=st.integers(),
    shape=st.lists(st.integers(), max_size=4).map(tuple),
)
cards = st.builds(
    ModelCard,
    model_id=names,
    source=names,
    architecture=names,
    weights_sha256=names,
    num_parameters=st.integers(),
    input=specs,
    layers=st.lists(layer_infos, max_size=3).map(tuple),
    output_layer=names,
    seconds_per_probe=finite,
    activation_bytes=st.integers(),
    input_from=names,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("0123456789abcdef", max_size=4), cards, max_size=3))
def test_cards_come_back_exactly(written: dict[str, ModelCard]) -> None:
    data = cards_to_json(written)
    read = cards_from_json(data)
    assert read == written
    assert all(type(c.input.mean) is tuple for c in read.values())
    assert all(type(layer.shape) is tuple for c in read.values() for layer in c.layers)
    assert cards_to_json(dict(reversed(written.items()))) == data


def test_signs_and_infinities_survive() -> None:
    odd = replace(card(), seconds_per_probe=-0.0, architecture="line\n\udcff", activation_bytes=-1)
    read = cards_from_json(cards_to_json({F1: odd}))[F1]
    assert read == odd
    assert math.copysign(1, read.seconds_per_probe) == -1
    endless = replace(card(), seconds_per_probe=math.inf)
    assert cards_from_json(cards_to_json({F1: endless})) == {F1: endless}


def test_the_cards_that_are_known_are_found(storage: Storage) -> None:
    assert known_cards(storage, [F1]) == {}
    write_card(storage, F1, card("a"))
    write_card(storage, F2, card("b"))
    assert known_cards(storage, {F1, F3}) == {F1: card("a")}
    assert known_cards(storage, [F2, F1, F1]) == {F1: card("a"), F2: card("b")}
    assert known_cards(storage, []) == {}
    write_card(storage, F1, card("again"))
    assert known_cards(storage, [F1]) == {F1: card("again")}


def test_the_cards_of_a_scan_are_one_file(storage: Storage) -> None:
    assert read_cards(storage, "night-1") == {}
    written = {F1: card("a"), F2: card("b")}
    write_cards(storage, "night-1", written)
    assert read_cards(storage, "night-1") == written
    assert read_cards(storage, "night-2") == {}
    assert storage.files("scans/night-1").keys() == {"cards.json"}
    write_cards(storage, "night-1", {})
    assert read_cards(storage, "night-1") == {}


def test_a_night_needs_one_listing_and_one_read_each(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {f"{number:032x}": card(str(number)) for number in range(5)}
    for fingerprint, each in written.items():
        write_card(storage, fingerprint, each)
    write_cards(storage, "night-1", written)
    asked: list[str] = []

    def watch(method: str) -> None:
        real = getattr(Storage, method)

        def ask(self: Storage, path: str) -> Any:
            asked.append(path)
            return real(self, path)

        monkeypatch.setattr(Storage, method, ask)

    watch("files")
    watch("read")
    wanted = [*list(written)[:3], F1]
    assert known_cards(storage, wanted) == {name: written[name] for name in wanted[:3]}
    assert asked[0] == "known/models"
    assert sorted(asked[1:]) == [f"known/models/{name}.json" for name in wanted[:3]]
    asked.clear()
    assert read_cards(storage, "night-1") == written
    assert asked == ["scans/night-1/cards.json"]


def test_any_damage_makes_a_bundle_unknown() -> None:
    data = cards_to_json({F1: card()})
    assert cards_from_json(data) == {F1: card()}
    for damaged in damages(data):
        assert cards_from_json(damaged) == {}, damaged


def test_any_damage_makes_a_card_unknown_and_the_others_stay(storage: Storage) -> None:
    write_card(storage, F1, card("a"))
    write_card(storage, F2, card("b"))
    path = path_of(storage, f"known/models/{F1}.json")
    data = path.read_bytes()
    for number, damaged in enumerate(damages(data)):
        if number % 37 == 0 or number >= 3 * len(data):
            path.write_bytes(damaged)
            assert known_cards(storage, [F1, F2]) == {F2: card("b")}, damaged
    write_card(storage, F1, card("a"))  # it is written anew, and heals
    assert known_cards(storage, [F1]) == {F1: card("a")}


def test_a_record_under_another_name_is_unknown(storage: Storage) -> None:
    write_card(storage, F1, card("a"))
    write_cards(storage, "night-1", {F1: card("a")})
    data = storage.read(f"known/models/{F1}.json")
    storage.replace(f"known/models/{F2}.json", data)
    storage.replace(f"known/models/{F3}.json", storage.read("scans/night-1/cards.json"))
    storage.replace("scans/night-2/cards.json", data)
    assert known_cards(storage, [F1, F2, F3]) == {F1: card("a")}
    assert read_cards(storage, "night-2") == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.pop("activation_bytes"),
        lambda tree: tree.update(flops=3),
        lambda tree: tree.pop("input"),
        lambda tree: tree["input"].update(std=[0.0, 1.0, 1.0]),
        lambda tree: tree["layers"][0].pop("shape"),
        lambda tree: tree.update(layers=None),
    ],
)
def test_records_of_other_fields_are_unknown(
    change: Callable[[dict[str, Any]], object], storage: Storage
) -> None:
    tree = json.loads(cards_to_json({F1: card()}))["content"][F1]
    change(tree)
    storage.replace(f"known/models/{F1}.json", known._encode("card", F1, tree))
    storage.replace("scans/night-1/cards.json", known._encode("cards", "", {F1: tree}))
    assert known_cards(storage, [F1]) == {}
    assert read_cards(storage, "night-1") == {}


def test_records_of_another_version_are_unknown(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(known, "KNOWN_VERSION", 0)
        write_card(storage, F1, card())
        write_cards(storage, "night-1", {F1: card()})
        assert known_cards(storage, [F1])
    assert known_cards(storage, [F1]) == {}
    assert read_cards(storage, "night-1") == {}


def test_a_storage_that_does_not_answer_is_no_damage(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card(storage, F1, card())
    monkeypatch.setattr(Storage, "read", refuse)
    for ask in (lambda: known_cards(storage, [F1]), lambda: read_cards(storage, "night-1")):
        with pytest.raises(StorageUnavailableError):
            ask()
