"""The columns of the files of graphs and canvases; those of tables are in `schemas`."""

from __future__ import annotations

import pyarrow as pa

from depara.store.fields import described_field as _field

EDGES = pa.schema(
    [
        _field("probe_a", pa.int32(), "index of the first probe, a < b"),
        _field("probe_b", pa.int32(), "index of the second probe"),
        _field("cosine", pa.float32(), "cosine of the two probes' features, -1 to 1"),
    ]
)

GRAMS = pa.schema(
    [
        _field("probe_a", pa.int32(), "index of the first probe, a <= b"),
        _field("probe_b", pa.int32(), "index of the second probe"),
        _field("raw", pa.float64(), "inner product of the two probes' features"),
        _field("zscored", pa.float64(), "the same of features z-scored over the probes"),
    ]
)

FEATURES = pa.schema(
    [
        _field("index", pa.int32(), "place in the probe set, 0-based"),
        _field("raw_sum", pa.float64(), "sum of the probe's features"),
        _field("zscored_sum", pa.float64(), "sum of its features z-scored over the probes"),
    ]
)

SKETCH = pa.schema(
    [
        _field("part", pa.string(), "maps, edge, directed_source or directed_target (key)"),
        _field("row", pa.int32(), "of maps the probe's place in the probe set, 0-based (key)"),
        _field("scale", pa.float32(), "a cell is its value times this"),
        _field(
            "values",
            pa.binary(256),
            "256 cells of a CountSketch, int8 each: of maps those of one probe, else the next ones",
        ),
    ]
)

CANVASES = pa.schema(
    [
        _field("probe_id", pa.string(), "sha256 of the canvas, hex"),
        _field("canvas", pa.binary(), "S x S x 3 uint8, RGB, row by row"),
    ]
)


def objects_schema(num_features: int) -> pa.Schema:
    """Returns the schema of a file of objects' features, `num_features` of each."""
    values = pa.field("element", pa.float32(), nullable=False)
    return pa.schema(
        [
            _field("index", pa.int32(), "place among the objects, by probe and box, 0-based"),
            _field(
                "features",
                pa.list_(values, num_features),
                "mean of the layer's output over the object's box, one value per channel",
            ),
        ]
    )


def outputs_schema(num_values: int) -> pa.Schema:
    """Returns the schema of a file of return values of `num_values` each."""
    return _values_schema(
        num_values, "what the model itself returned for the probe, such as logits"
    )


def vectors_schema(num_values: int) -> pa.Schema:
    """Returns the schema of a file of features, or cells of their sketch, `num_values` each."""
    return _values_schema(
        num_values, "features of the layer; of more than 4,096 a CountSketch in as many cells"
    )


def _values_schema(num_values: int, meaning: str) -> pa.Schema:
    values = pa.field("element", pa.float32(), nullable=False)
    return pa.schema(
        [
            _field("index", pa.int32(), "place in the probe set, 0-based"),
            _field("values", pa.list_(values, num_values), meaning),
        ]
    )


def nodes_schema(num_pixels: int) -> pa.Schema:
    """Returns the schema of a node file whose maps have `num_pixels` values."""
    # Values are required, not nullable: readers then skip a definition level per pixel.
    values = pa.field("element", pa.float16(), nullable=False)
    return pa.schema(
        [
            _field("probe_id", pa.string(), "sha256 of the decoded canvas, hex"),
            _field("index", pa.int32(), "place in the probe set, 0-based"),
            _field(
                "map",
                pa.list_(values, num_pixels),
                "attribution map of Euclidean norm 1; of several, end to end, each of "
                "1/sqrt(number)",
            ),
            _field(
                "norm", pa.float32(), "norm of the map (of several, the last) before it was scaled"
            ),
        ]
    )
