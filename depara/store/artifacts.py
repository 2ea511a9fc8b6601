"""Graph artifacts as bytes: node files, edges, Grams and features; and tables as Parquet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.errors import SchemaError
from depara.grams import GraphGrams, triangle_places, upper_triangle
from depara.store.artifact_schemas import EDGES, FEATURES, GRAMS, nodes_schema
from depara.store.map_pages import maps_of_pages
from depara.store.plain_pages import columns_of_pages
from depara.store.row_ranges import Rows, read_rows
from depara.store.schemas import SCHEMA_VERSION
from depara.texts import all_storable
from depara.types import Float16, Float32, Float64, NodeMaps, ProbeRange


def table_of_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    r"""Returns the rows as a table; texts that are not UTF-8 are escaped, see `storable`."""
    return pa.Table.from_pylist([all_storable(row) for row in rows], schema)


CONDITIONED_PROBES = 32
"""The conditioning of a graph is the median of its first probes: enough, and the same after a crash
as without."""

_CONDITIONING = "conditioning"
_COMPUTED_IN = "computed_in"

PLAIN_ARITHMETIC = "fp32"
"""What node files were computed in that say nothing of it."""


def encode_table(
    table: pa.Table, metadata: Mapping[str, str], *, taken_as_it_lies: bool = False
) -> bytes:
    """Returns the table as Parquet: plain encoding, zstd, `metadata` and the schema version inside.

    Plain, because DuckDB does not read byte-stream-split float16. ``taken_as_it_lies``: without
    compression and each column in one page, so that readers take its values where they lie.
    """
    merged = {"schema_version": SCHEMA_VERSION, **metadata}
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(merged),
        sink,
        compression="none" if taken_as_it_lies else "zstd",
        compression_level=None if taken_as_it_lies else 1,
        data_page_size=max(2 * table.nbytes, 1) if taken_as_it_lies else None,
        use_dictionary=[f.name for f in table.schema if pa.types.is_string(f.type)],
        write_statistics=[f.name for f in table.schema if not pa.types.is_nested(f.type)],
        write_page_checksum=True,  # so that a file no marker vouches for yet can be trusted too
    )
    return bytes(sink.getvalue())


def decode_table(data: bytes, schema: pa.Schema, name: str, rows: Rows | None = None) -> pa.Table:
    """Returns the table of Parquet bytes, its columns and types checked against `schema`.

    Nullable columns that the file, of an older version, lacks are null throughout. With ``rows``
    it is those rows alone.

    Raises:
        SchemaError: not Parquet, or other columns or types.
    """
    try:
        table = read_rows(pq.ParquetFile(pa.BufferReader(data)), None, rows)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise SchemaError(f"{name} is no readable Parquet file: {reason}") from error
    if not table.schema.equals(schema):
        table = with_null_columns(table, schema)
    if not table.schema.equals(schema):
        expected = ", ".join(f"{f.name}: {f.type}" for f in schema)
        got = ", ".join(f"{f.name}: {f.type}" for f in table.schema)
        raise SchemaError(f"{name} has other columns than expected ({expected}): got {got}")
    return table


def decode_columns(
    data: bytes, schema: pa.Schema, names: Sequence[str], place: str, rows: Rows | None = None
) -> pa.Table:
    """Returns some columns of a table, texts as dictionaries: a fraction of its memory.

    As `decode_table` otherwise.
    """
    fields = [schema.field(name) for name in names]
    texts = [field.name for field in fields if pa.types.is_string(field.type)]
    try:
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
        there = [name for name in names if name in file.schema_arrow.names]
        table = read_rows(file, there, rows)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise SchemaError(f"{place} is no readable Parquet file: {reason}") from error
    for field in fields:
        if field.name not in there:
            if not field.nullable:
                raise SchemaError(f"{place} has no column {field.name!r}")
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    return table.select(list(names)).unify_dictionaries()  # each row group has its own


def plain_texts(table: pa.Table) -> pa.Table:
    """Returns the table with texts for its dictionaries of texts."""
    plain = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(plain))


def texts_as_dictionaries(schema: pa.Schema) -> pa.Schema:
    """Returns the schema with dictionaries of texts for its texts."""
    texts = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        field.with_type(texts) if pa.types.is_string(field.type) else field for field in schema
    )


def with_null_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns the table with the columns of `schema` in its order, where all it lacks may be null.

    A table that lacks another column, or has one too many, comes back as it is.
    """
    names = set(table.schema.names)
    if not names <= set(schema.names):
        return table
    for field in schema:
        if field.name not in names:
            if not field.nullable:
                return table
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names)


@dataclass(frozen=True)
class NodeFacts:
    """What the marker says of all node files together, as far as one of them goes.

    ``conditioning`` is that of those of its probes that are among the set's first
    `CONDITIONED_PROBES`, NaN where undefined; ``has_maps`` whether any map is not all zero.
    """

    conditioning: tuple[float, ...] = ()
    has_maps: bool = False

    @property
    def median_conditioning(self) -> float | None:
        """The median of what is defined of the conditioning."""
        values = [value for value in self.conditioning if math.isfinite(value)]
        return float(np.median(values)) if values else None

    @classmethod
    def of(cls, nodes: NodeMaps, probes: ProbeRange) -> NodeFacts:
        """Returns the facts of the nodes of a range."""
        count = max(CONDITIONED_PROBES - probes.start, 0)
        values = () if nodes.conditioning_N is None else nodes.conditioning_N[:count].tolist()
        return cls(tuple(values), bool(nodes.norms_N.any()))


def encode_nodes(
    key: str,
    probes: ProbeRange,
    probe_ids: Sequence[str],
    nodes: NodeMaps,
    computed_in: str = PLAIN_ARITHMETIC,
) -> bytes:
    """Returns the node file of one graph for the probes of one range, in index order.

    Maps are compressed by 7 % at best, and a comparison reads them 1.3 times as fast as they lie
    (benchmarks/results/map_layouts.md).
    """
    num_pixels = nodes.maps_NP.shape[1]
    assert len(probe_ids) == len(probes) == len(nodes.maps_NP)
    schema = nodes_schema(num_pixels)
    values = pa.array(np.ascontiguousarray(nodes.maps_NP).reshape(-1))
    maps = pa.FixedSizeListArray.from_arrays(values, type=schema.field("map").type)
    index = np.arange(probes.start, probes.stop, dtype=np.int32)
    table = pa.table([pa.array(probe_ids, pa.string()), index, maps, nodes.norms_N], schema=schema)
    facts = NodeFacts.of(nodes, probes)
    metadata = {"graph_key": key}
    if facts.conditioning:
        metadata[_CONDITIONING] = json.dumps(facts.conditioning)
    if computed_in != PLAIN_ARITHMETIC:
        metadata[_COMPUTED_IN] = computed_in
    return encode_table(table, metadata, taken_as_it_lies=True)


def check_artifact(
    data: bytes, key: str, rows: int | None, schema: pa.Schema, name: str
) -> pa.Table:
    """Returns the table of a graph's file that no commit marker vouches for yet.

    Every page is read and compared with its own checksum. Any number of rows will do where
    ``rows`` is None.

    Raises:
        SchemaError: damaged, cut short, of another graph, or with other columns or rows.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        table = file.read(use_threads=False)
        found_key = (file.schema_arrow.metadata or {}).get(b"graph_key", b"").decode()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SchemaError(f"{name} is damaged: {' '.join(str(error).split())}") from error
    if found_key != key:
        raise SchemaError(f"{name} is of graph {found_key or '(none)'}, expected {key}")
    if not table.schema.equals(schema):
        raise SchemaError(f"{name} has other columns than expected")
    if rows is not None and table.num_rows != rows:
        raise SchemaError(f"{name} has {table.num_rows} rows, {rows} are expected")
    return table


def check_nodes(
    data: bytes,
    key: str,
    probes: ProbeRange,
    probe_ids: Sequence[str],
    num_pixels: int,
    name: str,
    computed_in: str = PLAIN_ARITHMETIC,
) -> NodeFacts:
    """Checks a node file that no commit marker vouches for yet, its probes included.

    Raises:
        SchemaError: damaged, of another graph, of other probes, or computed in another arithmetic.
    """
    table = check_artifact(data, key, len(probes), nodes_schema(num_pixels), name)
    indices, ids = table["index"].to_pylist(), table["probe_id"].to_pylist()
    if indices != list(range(probes.start, probes.stop)) or ids != list(probe_ids):
        raise SchemaError(f"{name} is of another probe set or range, expected probes {probes}")
    metadata = table.schema.metadata or {}
    found = metadata.get(_COMPUTED_IN.encode(), PLAIN_ARITHMETIC.encode()).decode()
    if found != computed_in:
        raise SchemaError(f"{name} was computed in {found}, expected {computed_in}")
    try:
        written = metadata.get(_CONDITIONING.encode(), b"[]")
        conditioning = tuple(float(value) for value in json.loads(written))
    except (ValueError, TypeError):
        conditioning = ()
    return NodeFacts(conditioning, bool(np.any(table["norm"].to_numpy())))


def decode_maps(data: bytes, name: str) -> Float16:
    """Returns the maps (n, P) float16 of a node file."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        maps_nP = maps_of_pages(file, data)
        if maps_nP is not None:
            return maps_nP
        column = file.read(columns=["map"], use_threads=False)["map"]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise SchemaError(f"{name} is no readable node file: {error}") from error
    chunks = [chunk.values.to_numpy().reshape(len(chunk), -1) for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def decode_norms(data: bytes, name: str) -> Float32:
    """Returns the norms (n,) float32 of a node file: of the maps before they were scaled to 1."""
    norms_n: Float32 = _numbers(data, nodes_schema(1), ["norm"], name)[0]
    return norms_n


def encode_edges(key: str, pairs: tuple[Any, Any], cosine_E: Float32) -> bytes:
    """Returns the edge file of one graph; `pairs` are the two index columns in pdist order."""
    probe_a, probe_b = pairs
    table = pa.table([probe_a, probe_b, cosine_E], schema=EDGES)
    return encode_table(table, {"graph_key": key})


def encode_grams(key: str, grams: GraphGrams) -> bytes:
    """Returns the Gram file of one graph: the upper triangles, the diagonals included."""
    probe_a, probe_b = upper_triangle(grams.num_probes, 0)
    columns = [
        probe_a.astype(np.int32),
        probe_b.astype(np.int32),
        grams.raw_NN[probe_a, probe_b],
        grams.zscored_NN[probe_a, probe_b],
    ]
    return encode_table(pa.table(columns, schema=GRAMS), {"graph_key": key})


def decode_grams(data: bytes, num_probes: int, name: str) -> tuple[Float64, Float64]:
    """Returns the raw and the z-scored Gram matrix, float64 ``N N``, of a Gram file."""
    raw_V, zscored_V = _numbers(data, GRAMS, ["raw", "zscored"], name)
    num_pairs = num_probes * (num_probes + 1) // 2
    if raw_V.size != num_pairs:
        raise SchemaError(f"{name} has {raw_V.size} rows, {num_pairs} are expected")
    places_NN = triangle_places(num_probes)
    return raw_V[places_NN], zscored_V[places_NN]


def encode_features(key: str, grams: GraphGrams) -> bytes:
    """Returns the per-probe sums of one graph's features as a file."""
    index = np.arange(grams.num_probes, dtype=np.int32)
    table = pa.table([index, grams.raw_sums_N, grams.zscored_sums_N], schema=FEATURES)
    return encode_table(table, {"graph_key": key})


def decode_features(data: bytes, name: str) -> tuple[Float64, Float64]:
    """Returns the sums of the raw and of the z-scored features (N,) float64."""
    raw_N, zscored_N = _numbers(data, FEATURES, ["raw_sum", "zscored_sum"], name)
    return raw_N, zscored_N


def decode_edges(data: bytes, name: str) -> Float32:
    """Returns the cosines (E,) float32 of an edge file, in pdist order."""
    cosine_E: Float32 = _numbers(data, EDGES, ["cosine"], name)[0]
    return cosine_E.astype(np.float32, copy=False)


def _numbers(data: bytes, schema: pa.Schema, names: Sequence[str], place: str) -> list[Any]:
    found = columns_of_pages(data, names)
    if found is None:
        table = decode_columns(data, schema, names, place)
        found = [table[name].to_numpy() for name in names]
    return found
