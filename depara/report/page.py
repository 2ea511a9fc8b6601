"""The page: templates with autoescape, styles and scripts inlined, and a policy that lets no
request out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from depara.texts import shown

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = (
    "columns.js",
    "page.js",
    "cells.js",
    "tables.js",
    "zoo.js",
    "matrix.js",
    "target.js",
    "pictures.js",
    "main.js",
)
"""Our own, in the order in which they are run, after the chart library."""

_CHARTS = "uPlot.iife.min.js"
_STYLES = ("uPlot.min.css", "report.css")
_STATIC, _TEMPLATES = "static", "templates"
_SHOWN, _TAIL = 34, 12


def render(context: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Returns the whole page.

    Args:
        context: what the templates show.
        data: what the scripts read, as strict JSON.
    """
    scripts = [_charts(), _own_scripts()]
    return (
        _environment()
        .get_template("report.html")
        .render(
            **context,
            styles="\n".join(_asset(name) for name in _STYLES),
            scripts=scripts,
            policy=_policy(scripts),
            data=_json(data),
        )
    )


def shortened(text: str) -> str:
    """Returns a name with its middle left out where it is long."""
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN - _TAIL - 1]}…{text[-_TAIL:]}"


def _json(data: Mapping[str, Any]) -> str:
    """Returns JSON that may stand in a script element: no ``<`` and ``&`` in it."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: list[str]) -> str:
    """Returns a content security policy: these scripts alone, and no request to anywhere."""
    hashes = " ".join(f"'sha256-{_hash(one)}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _charts() -> str:
    # The mark that opens a script would end ours; uPlot's licence stands at its top.
    return _asset(_CHARTS)


@cache
def _own_scripts() -> str:
    parts = "\n".join(_asset(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();'


@cache
def _asset(name: str) -> str:
    text = (files("depara.report") / _STATIC / name).read_text(encoding="utf-8")
    assert "</script" not in text.lower(), name
    return text.strip()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("depara.report", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = shortened
    environment.filters["fixed"] = fixed
    environment.filters["grouped"] = grouped
    environment.filters["percent"] = percent
    environment.filters["duration"] = duration
    environment.filters["size"] = size
    environment.filters["exact"] = exact
    return environment


def _shown(value: object) -> object:
    """Returns a text with its control signs escaped, and anything else as it is."""
    from markupsafe import Markup

    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def fixed(value: float | None, digits: int = 3) -> str:
    """Returns a number with so many decimals and a true minus sign; a dash for None."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def exact(value: float | None) -> str:
    """Returns a number as scripts read it, with 6 significant digits; nothing for None."""
    return "" if value is None else f"{value:.6g}"


def grouped(value: float | None) -> str:
    """Returns a whole number in groups of three digits; a dash for None."""
    return "–" if value is None else f"{value:,.0f}".replace(",", " ").replace("-", "−")


def percent(value: float | None) -> str:
    """Returns a share in percent; a dash for None."""
    return "–" if value is None else f"{100 * value:.0f} %"


def duration(seconds: float | None) -> str:
    """Returns a time for people: seconds, minutes and seconds, hours and minutes."""
    if seconds is None:
        return "an unknown time"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds / 60)
    if minutes < 60:
        return f"{minutes} min {seconds - 60 * minutes:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: float | None) -> str:
    """Returns bytes for people, in powers of 1000; a dash for None."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
