"""The tables of uncertainty, by name; their columns stand with those of all tables of a scan."""

from __future__ import annotations

import pyarrow as pa

from depara.store import schemas

_NAMES = ("uncertainty", "rank_uncertainty", "stability")

TABLES: dict[str, pa.Schema] = {name: schemas.TABLES[name] for name in _NAMES}
"""The first two join to the scan's rankings on the models and layers: ``source_layer`` is ``layer``
in ``layer_ranking``."""
