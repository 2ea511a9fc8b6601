"""References to decoded probes: many at once, in threads, where one bad image costs only itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from depara.errors import FailureKind, ProbeError, StorageUnavailableError
from depara.identity import canvas_id
from depara.probes.boxes import checked_boxes
from depara.probes.canvas import decode_canvas
from depara.probes.parquet import parse_row_uri, read_rows
from depara.probes.storage import read_bytes
from depara.types import DecodedProbe, Failure, ProbeRef

STAGE = "probes"
"""``stage`` of the failures that this package reports."""

_Outcome = DecodedProbe | Failure


def decode_probe(ref: ProbeRef, side: int) -> DecodedProbe:
    """Returns one decoded probe: canvas (uint8, ``S S 3``), its sha256, and the image's own size.

    The same encoded bytes give the same canvas and id, whatever their name or place.

    Args:
        ref: where the image is.
        side: canvas side S, px.

    Raises:
        ProbeError: missing, unreadable, damaged, truncated, too small, too large, or with
            boxes that are none of it; names the URI.
        ConfigError: unknown scheme or package.
        StorageUnavailableError: the storage did not answer for too long.
    """
    place = parse_row_uri(ref.uri)
    if place is None:
        return _decode_bytes(ref, read_bytes(ref.uri), side)
    [(_, data)] = read_rows(place.file, ref.column, [place.row])
    return _decode_bytes(ref, data, side)


def decode_probes(
    refs: Sequence[ProbeRef], side: int, threads: int = 1
) -> tuple[list[DecodedProbe], list[Failure]]:
    """Returns the decoded probes and the failures of the rest, both in the order of ``refs``.

    Each Parquet file is opened once, and only the row groups of the wanted rows are read. A failure
    has the stage ``probes``, the error's class name, and a message that names the URI.

    Args:
        refs: where the images are.
        side: canvas side S, px.
        threads: images that are read and decoded at the same time; never changes the result.

    Raises:
        StorageUnavailableError: a storage did not answer for too long: no fault of a probe.
    """
    assert threads >= 1
    outcomes: dict[int, _Outcome] = {}
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="probes") as pool:
        outcomes.update(_decode_files(refs, side, pool))
        for (file, column), places in _group_by_table(refs).items():
            outcomes.update(_decode_table(file, column, refs, places, side, pool, 2 * threads))
    in_order = [outcomes[index] for index in range(len(refs))]
    decoded = [outcome for outcome in in_order if isinstance(outcome, DecodedProbe)]
    return decoded, [outcome for outcome in in_order if isinstance(outcome, Failure)]


def _decode_bytes(ref: ProbeRef, data: bytes | None, side: int) -> DecodedProbe:
    if data is None:
        raise ProbeError(
            f"{ref.uri}: has no image bytes (null, no base64 text, or past the last row): take it "
            "out of the source"
        )
    try:
        canvas_SS3, width, height = decode_canvas(data, side)
        boxes = None if ref.objects is None else checked_boxes(ref.objects, width, height)
    except ProbeError as error:
        raise ProbeError(f"{ref.uri}: {error}") from error
    probe_id = canvas_id(canvas_SS3)
    return DecodedProbe(probe_id, ref.uri, width, height, ref.label, canvas_SS3, boxes)


def _decode_files(
    refs: Sequence[ProbeRef], side: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, _Outcome]]:
    def attempt(index: int) -> tuple[int, _Outcome]:
        try:
            return index, decode_probe(refs[index], side)
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - recorded, and the other probes go on
            return index, _failure(refs[index], error)

    files = [index for index, ref in enumerate(refs) if parse_row_uri(ref.uri) is None]
    yield from pool.map(attempt, files)


def _group_by_table(
    refs: Sequence[ProbeRef],
) -> dict[tuple[str, str | None], dict[int, list[int]]]:
    """Returns, per (Parquet file, column), the indices into refs of each wanted row."""
    tables: dict[tuple[str, str | None], dict[int, list[int]]] = {}
    for index, ref in enumerate(refs):
        place = parse_row_uri(ref.uri)
        if place is not None:
            indices = tables.setdefault((place.file, ref.column), {}).setdefault(place.row, [])
            indices.append(index)
    return tables


def _decode_table(
    file: str,
    column: str | None,
    refs: Sequence[ProbeRef],
    places: dict[int, list[int]],
    side: int,
    pool: ThreadPoolExecutor,
    rows_at_once: int,
) -> dict[int, _Outcome]:
    def attempt(item: tuple[int, bytes | None]) -> list[tuple[int, _Outcome]]:
        row, data = item
        return [(index, _attempt_bytes(refs[index], data, side)) for index in places[row]]

    outcomes: dict[int, _Outcome] = {}
    try:
        cells = read_rows(file, column, sorted(places))
        while chunk := list(islice(cells, rows_at_once)):
            for decoded in pool.map(attempt, chunk):
                outcomes.update(decoded)
    except StorageUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - recorded, and the other sources go on
        for index in (index for indices in places.values() for index in indices):
            outcomes.setdefault(index, _failure(refs[index], error))
    return outcomes


def _attempt_bytes(ref: ProbeRef, data: bytes | None, side: int) -> _Outcome:
    try:
        return _decode_bytes(ref, data, side)
    except Exception as error:  # noqa: BLE001 - recorded, and the other rows go on
        return _failure(ref, error)


def _failure(ref: ProbeRef, error: Exception) -> Failure:
    message = str(error)
    if not message.startswith(ref.uri):
        message = f"{ref.uri}: {message or type(error).__name__}"
    failure = Failure.of(error, message, stage=STAGE)
    # What is no `ProbeError` says nothing of the image.
    return failure if isinstance(error, ProbeError) else replace(failure, kind=FailureKind.PASSING)
