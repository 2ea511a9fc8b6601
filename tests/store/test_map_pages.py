"""Maps straight from the pages of a node file, against Parquet's own reader."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.store.artifacts import decode_maps, encode_nodes
from depara.store.map_pages import maps_of_pages
from depara.types import Float16, NodeMaps, ProbeRange

NUM_PROBES, NUM_PIXELS = 37, 900


@pytest.fixture(scope="module")
def maps_NP() -> Float16:
    maps_NP = np.random.default_rng(0).standard_normal((NUM_PROBES, NUM_PIXELS)).astype(np.float16)
    maps_NP[3] = 0
    maps_NP[0, :4] = [np.nan, np.inf, -0.0, 6e-8]
    return maps_NP


def of_pages(data: bytes) -> Float16 | None:
    return maps_of_pages(pq.ParquetFile(pa.BufferReader(data)), data)


def written(maps_NP: Float16, nulls: tuple[int, ...] = (), **options: Any) -> bytes:
    """A file with the map column alone; some of the maps may be null."""
    values = pa.array(maps_NP.reshape(-1))
    kind = pa.list_(pa.float16(), maps_NP.shape[1])
    mask = pa.array([row in nulls for row in range(len(maps_NP))])
    column = pa.FixedSizeListArray.from_arrays(values, type=kind, mask=mask if nulls else None)
    sink = io.BytesIO()
    pq.write_table(pa.table({"map": column}), sink, **{"use_dictionary": False, **options})
    return sink.getvalue()


def assert_same_bits(found: Float16 | None, expected: Float16) -> None:
    assert found is not None
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))


def test_the_maps_of_a_node_file_are_read_from_its_pages(maps_NP: Float16) -> None:
    nodes = NodeMaps(maps_NP, np.ones(NUM_PROBES, np.float32), np.ones(NUM_PROBES))
    ids = [f"probe {number}" for number in range(NUM_PROBES)]
    data = encode_nodes("0" * 32, ProbeRange(0, NUM_PROBES), ids, nodes)
    assert_same_bits(of_pages(data), maps_NP)


def test_maps_of_a_node_file_lie_in_one_page_as_they_are() -> None:
    """More than the megabyte that Parquet's pages have by default."""
    maps_NP = np.random.default_rng(0).standard_normal((200, 3136)).astype(np.float16)
    nodes = NodeMaps(maps_NP, np.ones(200, np.float32))
    ids = [f"probe {number}" for number in range(200)]
    data = encode_nodes("0" * 32, ProbeRange(0, 200), ids, nodes)
    assert data.count(maps_NP.tobytes()) == 1
    assert_same_bits(of_pages(data), maps_NP)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none"},
        {"compression": "snappy"},
        {"data_page_size": 1000, "write_batch_size": 100, "compression": "zstd"},
        {"row_group_size": 10, "write_page_checksum": True},
    ],
)
def test_pages_groups_and_codecs_do_not_matter(maps_NP: Float16, options: dict[str, Any]) -> None:
    data = written(maps_NP, **options)
    assert_same_bits(of_pages(data), maps_NP)


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": True},
        {"data_page_version": "2.0"},
        {"use_byte_stream_split": True},
    ],
)
def test_what_is_written_otherwise_is_left_to_parquets_own_reader(
    maps_NP: Float16, options: dict[str, Any]
) -> None:
    data = written(maps_NP, **options)
    assert of_pages(data) is None
    assert_same_bits(decode_maps(data, "x"), maps_NP)


def test_a_null_map_is_not_taken_for_the_next_one(maps_NP: Float16) -> None:
    assert of_pages(written(maps_NP, nulls=(5,))) is None


def test_lists_of_any_length_are_not_maps() -> None:
    sink = io.BytesIO()
    column = pa.array([[1.0, 2.0], [3.0]], pa.list_(pa.float16()))
    pq.write_table(pa.table({"map": column}), sink, use_dictionary=False)
    assert of_pages(sink.getvalue()) is None


def test_a_flipped_bit_of_a_page_header_is_no_other_map(maps_NP: Float16) -> None:
    data = written(maps_NP[:2, :8], compression="none")
    chunk = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(0)
    start = chunk.data_page_offset
    values_start = data.index(maps_NP[:2, :8].tobytes())
    for place in range(start, values_start):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            found = of_pages(bytes(flipped))
            assert found is None or np.array_equal(found, maps_NP[:2, :8], equal_nan=True), place
