"""Writes the field and column references from the code: `python docs/generate.py [--check]`.

The text between the markers in docs/scan-file.md and docs/tables.md comes from the docstrings of
the scan file's sections and from the schemas' metadata, so that neither can disagree with the code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from depara.catalog import LABEL_SCORES, METHODS, OBJECT_SCORES, SCORES
from depara.config.schema import (
    AttributionConfig,
    CanvasConfig,
    ComputeConfig,
    EdgesConfig,
    InputConfig,
    ModelConfig,
    ProbesConfig,
    ScanConfig,
    UncertaintyConfig,
)
from depara.config.similarity import SimilarityConfig
from depara.domains.rows import SET_DISTANCES
from depara.evaluation import EVALUATION_TABLES
from depara.store.artifact_schemas import (
    EDGES,
    FEATURES,
    GRAMS,
    SKETCH,
    nodes_schema,
    objects_schema,
    outputs_schema,
    vectors_schema,
)
from depara.store.schemas import TABLES

DOCS = Path(__file__).parent
MARKER = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

SECTIONS: dict[str, tuple[str, type[BaseModel]]] = {
    "top": ("", ScanConfig),
    "probes": ("probes.", ProbesConfig),
    "canvas": ("canvas.", CanvasConfig),
    "models": ("models[].", ModelConfig),
    "input": ("models[].input.", InputConfig),
    "attribution": ("attribution.", AttributionConfig),
    "edges": ("edges.", EdgesConfig),
    "similarity": ("similarity.", SimilarityConfig),
    "uncertainty": ("uncertainty.", UncertaintyConfig),
    "compute": ("compute.", ComputeConfig),
}


def describe_section(prefix: str, section: type[BaseModel]) -> str:
    """Returns a Markdown table of one section's fields."""
    lines = ["| field | values | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        meaning = " ".join((field.description or "").replace("``", "`").split())
        values = _values(field.annotation).replace("|", "\\|")
        shown = f"`{prefix}{field.alias or name}`"
        lines.append(f"| {shown} | {values} | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def describe_schema(schema: pa.Schema) -> str:
    """Returns a Markdown table of one Parquet schema."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for field in schema:
        meaning = (field.metadata or {}).get(b"description", b"").decode()
        null = ", nullable" if field.nullable else ""
        kind = str(field.type).replace("element not null", "").replace("<element: ", "<")
        kind = re.sub(r"fixed_size_list<(\w+) not null>\[\d+\]", r"fixed_size_list<\1>[P]", kind)
        lines.append(f"| `{field.name}` | {kind}{null} | {meaning} |")
    return "\n".join(lines) + "\n"


def describe_catalog(rows: Mapping[str, Any]) -> str:
    """Returns a Markdown table of the methods or scores of `depara.catalog`."""
    lines = ["| name | what it is | source |", "|---|---|---|"]
    lines += [f"| `{name}` | {row.meaning} | {row.reference} |" for name, row in rows.items()]
    return "\n".join(lines).replace("|ds/dx|", "\\|ds/dx\\|") + "\n"


def describe_label_scores() -> str:
    """Returns a Markdown table of what each score with labels needs, and whether it votes."""
    needs = {
        "raw": "Gram",
        "zscored": "z-scored Gram",
        "outputs": "return value",
        "objects": "features of objects",
    }
    lines = ["| row | what it is | made of | votes | source |", "|---|---|---|---|---|"]
    lines += [
        f"| `{name}` | {row.meaning} | {needs[row.needs]} | {'yes' if row.votes else 'no'} "
        f"| {row.reference} |"
        for name, row in {**LABEL_SCORES, **OBJECT_SCORES}.items()
    ]
    return "\n".join(lines) + "\n"


def generate(name: str) -> str:
    """Returns the text that belongs between the markers of this name."""
    makers: dict[str, Callable[[], str]] = {
        f"section-{key}": lambda key=key: describe_section(*SECTIONS[key]) for key in SECTIONS
    }
    tables = {**TABLES, **EVALUATION_TABLES}
    makers |= {f"table-{key}": lambda key=key: describe_schema(tables[key]) for key in tables}
    catalogs = {
        "methods": METHODS,
        "scores": SCORES,
        "label-scores": LABEL_SCORES,
        "set-distances": SET_DISTANCES,
        "object-scores": OBJECT_SCORES,
    }
    makers |= {
        f"catalog-{key}": lambda rows=rows: describe_catalog(rows) for key, rows in catalogs.items()
    }
    makers["estimators-label"] = describe_label_scores
    makers["file-nodes"] = lambda: describe_schema(nodes_schema(4))
    makers["file-grams"] = lambda: describe_schema(GRAMS)
    makers["file-features"] = lambda: describe_schema(FEATURES)
    makers["file-vectors"] = lambda: describe_schema(vectors_schema(4))
    makers["file-objects"] = lambda: describe_schema(objects_schema(4))
    makers["file-outputs"] = lambda: describe_schema(outputs_schema(4))
    makers["file-sketch"] = lambda: describe_schema(SKETCH)
    makers["file-edges"] = lambda: describe_schema(EDGES)
    return makers[name]()


def main(check: bool) -> int:
    """Rewrites the documents, or with `check` says which are out of date."""
    stale = []
    for path in (DOCS / "scan-file.md", DOCS / "tables.md", DOCS / "estimators.md"):
        text = path.read_text()
        fresh = MARKER.sub(lambda m: m[1] + generate(m["name"]) + m[3], text)
        if fresh != text:
            stale.append(path.name)
            if not check:
                path.write_text(fresh)
    if stale:
        print(f"{'out of date' if check else 'written'}: {', '.join(stale)}")
    return 1 if check and stale else 0


def _values(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if str(origin) == "typing.Literal":
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"list of {_values(arguments[0])}"
    if origin is dict:
        return "mapping"
    if hasattr(annotation, "__metadata__"):  # Annotated[kind, constraints]
        return _values(arguments[0])
    if arguments:
        return " or ".join(_values(a) for a in arguments if a is not type(None))
    names = {"str": "text", "int": "integer", "float": "number", "ByteSize": "bytes (`4GiB`)"}
    return names.get(annotation.__name__, annotation.__name__)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value == 4 * 1024**3:
        return "`4GiB`"
    return f"`{'null' if value is None else value}`"


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
