"""The inputs of a scan, known from earlier ones or opened now: probes, and a card of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cluster.extract.probes import PreparedProbes, prepare_probes
from cluster.extract.units import ResolveUnit
from cluster.pool.context import ScanContext
from cluster.pool.loop import WorkerPool
from cluster.pool.progress import show_groups
from cluster.pool.units import Group, GroupResult
from depara.config import ModelConfig, ScanConfig, ScanFile
from depara.errors import FailureKind, ModelError, StoreError
from depara.fingerprints import model_fingerprints
from depara.store.known import forget_cards, known_cards, read_cards, write_card
from depara.store.scans import resolve_scan_id
from depara.store.storage import Storage
from depara.types import Failure, ModelCard


@dataclass(frozen=True)
class PreparedInputs:
    """What a scan works on.

    ``fingerprinted`` holds the cards that the next scan may take as they are, by fingerprint.
    """

    probes: PreparedProbes
    cards: tuple[ModelCard, ...]
    failures: tuple[Failure, ...]
    fingerprinted: dict[str, ModelCard]


def prepare_inputs(
    file: ScanFile, pool: WorkerPool, context: ScanContext, *, fresh: bool, keep: bool
) -> PreparedInputs:
    """Returns the probes and the cards of all models that work.

    Args:
        file: the scan.
        pool: opens what is not known.
        context: where to look and to show.
        fresh: open everything, whatever is known.
        keep: write canvases, and what is learned, to the storage.

    Raises:
        ProbeError: too few usable probes.
        ModelError: no model of the zoo can be used.
    """
    probes = prepare_probes(file, pool, context, fresh=fresh, keep=keep)
    context.phases.enter("models")
    config = file.config
    side, features = config.canvas.side, config.edges.features
    fingerprints = model_fingerprints(config.models, canvas_side=side, features=features)
    known = {} if fresh else _known(context, [f for f in fingerprints.values() if f])
    found: dict[str, ModelCard] = {}
    unknown = []
    for model in config.models:
        card = known.get(fingerprints[model.id] or "")
        if card is not None and card.model_id == model.id:
            found[model.id] = card
        else:
            unknown.append(model)
    opened, failures = _open(unknown, config, pool, context)
    if keep and opened:  # what changed while it was opened is no card of what was looked at before
        again = model_fingerprints(unknown, canvas_side=side, features=features)
        fingerprints |= {name: None for name, later in again.items() if later != fingerprints[name]}
    for card in opened:
        fingerprint = fingerprints[card.model_id]
        if keep and fingerprint is not None:
            write_card(context.storage, fingerprint, card)
    found |= {card.model_id: card for card in opened}
    cards = tuple(found[model.id] for model in config.models if model.id in found)
    if not cards:
        raise ModelError(
            f"none of the {len(config.models)} models can be used:\n"
            + "\n".join(f"  {f.model_id}: {f.message}" for f in failures)
        )
    lasting = {f: found[name] for name, f in fingerprints.items() if f and name in found}
    return PreparedInputs(probes, cards, tuple(failures), lasting)


def forget_changed(
    cards: Mapping[str, ModelCard], results: Mapping[str, GroupResult], storage: Storage
) -> dict[str, ModelCard]:
    """Returns the cards without those of models that workers found to be others, forgotten now.

    Args:
        cards: by fingerprint.
        results: how the extraction of each model ended.
        storage: the output.

    Raises:
        StoreError: the location cannot be written.
    """
    changed = {
        name
        for name, result in results.items()
        if result.failure is not None and result.failure.kind is FailureKind.CHANGED_MODEL
    }
    stale = [fingerprint for fingerprint, card in cards.items() if card.model_id in changed]
    if stale:
        forget_cards(storage, stale)
    return {fingerprint: card for fingerprint, card in cards.items() if fingerprint not in stale}


def _known(context: ScanContext, fingerprints: Sequence[str]) -> dict[str, ModelCard]:
    """The cards of unchanged models: from the latest scan's bundle, else one by one."""
    storage = context.storage
    cards: dict[str, ModelCard] = {}
    with suppress(StoreError):  # no scan yet, or damaged: the single records will do
        cards = read_cards(storage, resolve_scan_id(storage, None))
    missing = [fingerprint for fingerprint in fingerprints if fingerprint not in cards]
    return cards | (known_cards(storage, missing) if missing else {})


def _open(
    models: Sequence[ModelConfig], config: ScanConfig, pool: WorkerPool, context: ScanContext
) -> tuple[list[ModelCard], list[Failure]]:
    known = len(config.models) - len(models)
    if known:
        context.reporter.note(
            f"{known} of {len(config.models)} models are unchanged and not opened"
        )
    context.reporter.phase("models", len(models), "models opened")
    side, features = config.canvas.side, config.edges.features
    groups = [Group(model.id, (ResolveUnit(model, side, features),)) for model in models]
    results = pool.run(groups, show_groups(context.reporter))
    cards = [result.values[0] for result in results if result.failure is None]
    return cards, [result.failure for result in results if result.failure is not None]
