"""What earlier scans learned of inputs that have not changed since, by their fingerprints.

Records are a memory, never a source of truth: one that is missing, damaged or of another version
is as if it had never been written. Layout below an output location::

    known/models/<fingerprint>.json     the card of one model
    known/probes/<fingerprint>.json     the probes of one draw
    scans/<scan id>/cards.json          the cards of all models of one scan, in one read
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from depara.errors import StoreError
from depara.store.canvases import read_probe_set
from depara.store.layout import (
    CANVASES,
    KNOWN_MODELS,
    cards_path,
    known_model_path,
    known_probes_path,
)
from depara.store.storage import Storage, sha256_hex
from depara.types import Box, Failure, InputSpec, LayerInfo, ModelCard, Note, Probe

KNOWN_VERSION = 1
"""Raised when the form of the records changes: older ones are then not read."""

_READS_AT_ONCE = 16


@dataclass(frozen=True)
class KnownProbes:
    """The probe set of an earlier scan: its key, its probes in order, and what was left out."""

    key: str
    probes: tuple[Probe, ...]
    failures: tuple[Failure, ...]


def known_cards(storage: Storage, fingerprints: Collection[str]) -> dict[str, ModelCard]:
    """Returns the cards that are known of these fingerprints; one listing, then one read for each.

    Raises:
        StoreError: the storage does not answer.
    """
    wanted = set(fingerprints)
    if not wanted:
        return {}
    present = {name.removesuffix(".json") for name in storage.files(KNOWN_MODELS)}
    found = sorted(wanted & present)
    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="known") as pool:
        cards = pool.map(lambda fingerprint: _read_card(storage, fingerprint), found)
        pairs = zip(found, cards, strict=True)
        return {fingerprint: card for fingerprint, card in pairs if card is not None}


def write_card(storage: Storage, fingerprint: str, card: ModelCard) -> None:
    """Records the card of a model, over a record that may be there.

    Raises:
        StoreError: the location cannot be written.
    """
    storage.replace(known_model_path(fingerprint), _encode("card", fingerprint, asdict(card)))


def forget_cards(storage: Storage, fingerprints: Collection[str]) -> None:
    """Removes the records of models that turned out to be others than recorded.

    Raises:
        StoreError: the location cannot be written.
    """
    storage.remove(known_model_path(fingerprint) for fingerprint in fingerprints)


def read_cards(storage: Storage, scan_id: str) -> dict[str, ModelCard]:
    """Returns the cards of a scan by fingerprint; none when it recorded none, or they are damaged.

    Raises:
        StoreError: the storage does not answer.
    """
    data = storage.read_or_none(cards_path(scan_id))
    return {} if data is None else cards_from_json(data)


def write_cards(storage: Storage, scan_id: str, cards: Mapping[str, ModelCard]) -> None:
    """Records the cards of a scan by fingerprint, over a record that may be there.

    Raises:
        StoreError: the location cannot be written.
    """
    storage.replace(cards_path(scan_id), cards_to_json(cards))


def cards_to_json(cards: Mapping[str, ModelCard]) -> bytes:
    """Returns cards by fingerprint as JSON bytes, equal for equal cards."""
    ordered = {fingerprint: asdict(card) for fingerprint, card in sorted(cards.items())}
    return _encode("cards", "", ordered)


def cards_from_json(data: bytes) -> dict[str, ModelCard]:
    """Returns the cards of `cards_to_json`; none when a single byte is not as it was written."""
    content = _decode("cards", "", data)
    try:
        return {} if content is None else {key: _card(tree) for key, tree in content.items()}
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        return {}


def read_probes(storage: Storage, fingerprint: str) -> KnownProbes | None:
    """Returns the probes of an earlier scan while all their canvases are still in the storage.

    Their presence and sizes are told by one listing. None when the fingerprint is unknown, or when
    the probe set or a file of canvases is missing or of another size.

    Raises:
        StoreError: the storage does not answer.
    """
    path = known_probes_path(fingerprint)
    data = storage.read_or_none(path)
    content = None if data is None else _decode("probes", fingerprint, data)
    if content is None:
        return None
    try:
        canvases = content.pop("canvases")
        probes = tuple(map(_probe, content["probes"]))
        failures = tuple(Failure(**tree) for tree in content["failures"])
        known = KnownProbes(content["key"], probes, failures)
        _check_same(_plain(known), content)
    except (KeyError, TypeError, ValueError):
        return None
    return known if canvases == _canvases(storage, known) else None


def write_probes(storage: Storage, fingerprint: str, known: KnownProbes) -> bool:
    """Records the probes of a scan whose probe set is in the storage; returns whether it did.

    It does not where a failure may pass by itself, as of a storage that did not answer, so that the
    next scan tries again; nor where the canvases are not all there.

    Raises:
        StoreError: the location cannot be written.
    """
    if any(failure.is_passing for failure in known.failures):
        return False
    canvases = _canvases(storage, known)
    if canvases is None:
        return False
    content = {**_plain(known), "canvases": canvases}
    storage.replace(known_probes_path(fingerprint), _encode("probes", fingerprint, content))
    return True


def _read_card(storage: Storage, fingerprint: str) -> ModelCard | None:
    data = storage.read_or_none(known_model_path(fingerprint))
    content = None if data is None else _decode("card", fingerprint, data)
    try:
        return None if content is None else _card(content)
    except (AssertionError, KeyError, TypeError, ValueError):
        return None


def _card(tree: Mapping[str, Any]) -> ModelCard:
    """Returns the card of its JSON form.

    Raises:
        AssertionError, KeyError, TypeError, ValueError: fields of another version.
    """
    spec = tree["input"]
    layers = (LayerInfo(**{**layer, "shape": tuple(layer["shape"])}) for layer in tree["layers"])
    plain = {
        **tree,
        "input": InputSpec(**{**spec, "mean": tuple(spec["mean"]), "std": tuple(spec["std"])}),
        "layers": tuple(layers),
        "notes": tuple(Note(**note) for note in tree["notes"]),
    }
    card = ModelCard(**plain)
    _check_same(asdict(card), tree)
    return card


def _probe(tree: Mapping[str, Any]) -> Probe:
    boxes = tree.get("boxes")
    return Probe(**{**tree, "boxes": None if boxes is None else tuple(Box(*b) for b in boxes)})


def _plain(known: KnownProbes) -> dict[str, Any]:
    plain = {**asdict(known), "failures": [failure.row() for failure in known.failures]}
    for probe in plain["probes"]:
        if probe["boxes"] is None:  # goes unsaid, as before there were any
            del probe["boxes"]
    return plain


def _check_same(fields: Mapping[str, Any], tree: Mapping[str, Any]) -> None:
    """Proves that a value read has the fields of its JSON form, none of them by default.

    Raises:
        ValueError: it has not.
    """
    if _json(fields) != _json(tree):
        raise ValueError("fields of another version")


def _canvases(storage: Storage, known: KnownProbes) -> dict[str, Any] | None:
    """Returns the checksum of the probe set and the size of each of its files of canvases, by path.

    None when one of them, or the set, is not there or damaged.
    """
    try:
        probe_set = read_probe_set(storage, known.key)
    except StoreError:
        return None
    if probe_set.probe_ids != tuple(probe.probe_id for probe in known.probes):
        return None
    present = storage.files(CANVASES)
    paths = sorted(chunk.path for chunk in probe_set.chunks)
    sizes = {path: present.get(path.removeprefix(f"{CANVASES}/"), 0) for path in paths}
    if not all(sizes.values()):
        return None
    return {"probe_set": sha256_hex(_json(asdict(probe_set))), "bytes": sizes}


def _encode(kind: str, name: str, content: Mapping[str, Any]) -> bytes:
    """Returns a record: its content, what it is a record of, and the sha256 of both."""
    record = {"schema_version": KNOWN_VERSION, "kind": kind, "name": name, "content": content}
    return _json({**record, "sha256": sha256_hex(_json(record))})


def _decode(kind: str, name: str, data: bytes) -> Any:
    """Returns the content of a record; None unless it is to the byte what `_encode` wrote."""
    try:
        record = json.loads(data)
        content = record["content"]
        return content if _encode(kind, name, content) == data else None
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


def _json(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=True).encode()
