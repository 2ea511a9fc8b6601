"""The probe stage: list, draw, decode on the workers until enough are usable, fix the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.extract.units import DecodeResult, DecodeUnit
from cluster.pool.context import ScanContext
from cluster.pool.loop import WorkerPool
from cluster.pool.progress import Reporter, show_groups
from cluster.pool.units import Group
from depara.config import ProbesConfig, ScanFile
from depara.errors import ProbeError
from depara.fingerprints import probes_fingerprint
from depara.identity import probe_set_key
from depara.probes import (
    BoxColumns,
    FoundProbes,
    LeftOut,
    build_probe_set,
    describe_left_out,
    draw_order,
    find_probes,
)
from depara.store.canvases import CanvasChunk, ProbeSet, write_probe_set
from depara.store.known import KnownProbes, read_probes, write_probes
from depara.types import Failure, Probe, ProbeRef

MIN_PROBES = 4
_REFS_PER_UNIT = 64


@dataclass(frozen=True)
class PreparedProbes:
    """The probes of a scan, ready for the workers, and what was left out of them.

    ``failures`` are the images that cannot be used, ``left_out`` the files that were never taken
    for one.
    """

    key: str
    probes: tuple[Probe, ...]
    failures: tuple[Failure, ...]
    left_out: tuple[LeftOut, ...]


def prepare_probes(
    file: ScanFile, pool: WorkerPool, context: ScanContext, *, fresh: bool, keep: bool
) -> PreparedProbes:
    """Returns the probe set of the scan; bad images are replaced by the next of the draw.

    Args:
        file: the scan.
        pool: decodes the images, unless an earlier scan has decoded the very same files.
        context: where to look and to show.
        fresh: decode them in any case.
        keep: write canvases and probe set to the storage, for the workers.

    Raises:
        ProbeError: nothing to probe with, or fewer usable images than `probes.count` asks for.
    """
    context.phases.enter("probes")
    source, side = file.config.probes, file.config.canvas.side
    storage, reporter = context.storage, context.reporter
    found = _find(source)
    _check_count(file, found)  # no decoding adds to them: before a worker starts
    draw = draw_order(found.refs, source.seed)
    fingerprint = probes_fingerprint(draw, source, side)
    known = None if fresh or fingerprint is None else read_probes(storage, fingerprint)
    if known is not None:
        reporter.note(f"{len(known.probes)} probes are unchanged and not decoded again")
        return PreparedProbes(known.key, known.probes, known.failures, found.left_out)
    wanted = len(draw) if source.count is None else min(source.count, len(draw))
    reporter.phase("probes", wanted, "images")
    decoded = _decode_draw(draw, wanted, side, pool, keep, reporter)
    has_changed = fingerprint is not None and fingerprint != probes_fingerprint(draw, source, side)
    if has_changed and any(ref.column is not None and ref.label is not None for ref in draw):
        raise ProbeError(
            f"{source.source!r} changed while it was decoded: images and labels of its tables "
            "may not belong together: scan again when it is no longer written"
        )
    _check_count(file, found, decoded)
    ids = tuple(probe.probe_id for probe in decoded.probes)
    key = probe_set_key(ids, side)
    if keep:
        write_probe_set(storage, ProbeSet(key, side, ids, decoded.chunks))
        if fingerprint is not None and not has_changed:
            write_probes(storage, fingerprint, KnownProbes(key, decoded.probes, decoded.failures))
    for failure in decoded.failures:
        reporter.fail(failure.message)
    return PreparedProbes(key, decoded.probes, decoded.failures, found.left_out)


def _find(source: ProbesConfig) -> FoundProbes:
    name = source.boxes_column
    return find_probes(
        source.source,
        column=source.column,
        label_column=source.label_column,
        boxes=None if name is None else BoxColumns(name, source.box_labels_column),
        annotations=source.annotations,
    )


@dataclass(frozen=True)
class _Decoded:
    """What came of a draw: probes, failures, and the files of the canvases where they are kept."""

    probes: tuple[Probe, ...]
    failures: tuple[Failure, ...]
    chunks: tuple[CanvasChunk, ...]


def _decode_draw(
    draw: Sequence[ProbeRef],
    wanted: int,
    side: int,
    pool: WorkerPool,
    keep: bool,
    reporter: Reporter,
) -> _Decoded:
    """Decodes the draw in its order until there are as many probes as are wanted."""
    results: list[DecodeResult] = []
    probes: list[Probe] = []
    duplicates: list[Failure] = []
    position = 0
    while len(probes) < wanted and position < len(draw):
        batch = draw[position : position + wanted - len(probes)]
        position += len(batch)
        results += _decode(batch, side, pool, keep, reporter)
        probes, duplicates = build_probe_set([meta for one in results for meta in one.probes])
    failures = [failure for one in results for failure in one.failures]
    chunks = tuple(one.chunk for one in results if one.chunk)
    return _Decoded(tuple(probes), (*failures, *duplicates), chunks)


def _decode(
    refs: Sequence[ProbeRef], side: int, pool: WorkerPool, keep: bool, reporter: Reporter
) -> list[DecodeResult]:
    pieces = [refs[i : i + _REFS_PER_UNIT] for i in range(0, len(refs), _REFS_PER_UNIT)]
    units = [DecodeUnit(tuple(piece), side, keep) for piece in pieces]
    groups = [Group(f"probes {number}", (unit,)) for number, unit in enumerate(units)]
    sizes = {group.name: len(unit.refs) for group, unit in zip(groups, units, strict=True)}
    results = pool.run(groups, show_groups(reporter, sizes))
    for result in results:
        if result.failure is not None:
            raise ProbeError(f"the probes could not be decoded: {result.failure.message}")
    return [result.values[0] for result in results]


def _check_count(file: ScanFile, found: FoundProbes, decoded: _Decoded | None = None) -> None:
    asked = file.config.probes.count
    failures = decoded.failures if decoded else ()
    there, what = (len(decoded.probes), " usable ones") if decoded else (len(found.refs), "")
    lost = f"; {len(failures)} of {len(found.refs)} images are unusable" if failures else ""
    lost += f", such as: {failures[0].message}" if failures else ""
    lost += f"; left out were {describe_left_out(found.left_out)}" if found.left_out else ""
    if decoded and there < MIN_PROBES:
        raise ProbeError(
            f"{there} usable probes in {file.config.probes.source!r}, at least "
            f"{MIN_PROBES} are needed{lost}"
        )
    if file.count_is_given and asked is not None and there < asked:
        raise ProbeError(
            f"probes.count asks for {asked} images but {file.config.probes.source!r} has "
            f"{there}{what}{lost}. Lower probes.count, or set it to null to take all"
        )
