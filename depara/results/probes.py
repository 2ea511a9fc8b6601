"""One probe out of many, by the name that a person gives it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from depara.errors import ConfigError, near_names
from depara.texts import shown_line
from depara.types import Probe

NAMING = "name a probe by its index, by 4 or more first digits of its id, or by the end of its path"
_INDEX = re.compile(r"\d{1,7}")
_ID_BEGINNING = re.compile(r"[0-9a-f]{4,64}")
_SHOWN = 5


def find_probe(probes: Sequence[Probe], name: int | str) -> Probe:
    """Returns the probe that a name means, of probes in index order.

    An integer, or up to 7 digits and nothing else, is its index. Any other text is the beginning of
    its id (4 or more hexadecimal digits) or the end of its path, from any ``/`` on:
    ``cat.jpg``, ``animals/cat.jpg``, the whole path, ``probes.parquet#12``.

    Raises:
        ConfigError: no probe is meant, or several are; they are listed.
    """
    text = str(name)
    if isinstance(name, int) or _INDEX.fullmatch(text):
        if not 0 <= int(text) < len(probes):
            raise ConfigError(
                f"there is no probe of index {text}: the scan has {len(probes)} probes, "
                f"0 to {len(probes) - 1}"
            )
        return probes[int(text)]
    begins = text.lower() if _ID_BEGINNING.fullmatch(text.lower()) else None
    found = [
        probe
        for probe in probes
        if (begins is not None and probe.probe_id.startswith(begins)) or _ends(probe.uri, text)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        ends = [probe.uri.rpartition("/")[2] for probe in probes]
        hint = near_names(text, ends)
        raise ConfigError(
            f"there is no probe {shown_line(text)!r}: {hint + ' or ' if hint else ''}{NAMING}"
        )
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    listed = "; ".join(_described(probe) for probe in found[:_SHOWN])
    raise ConfigError(
        f"{shown_line(text)!r} may be any of {len(found)} probes: {listed}{more}; give the index"
    )


def _ends(uri: str, text: str) -> bool:
    return bool(text) and (uri == text or uri.endswith("/" + text.removeprefix("/")))


def _described(probe: Probe) -> str:
    return f"{probe.index} (id {probe.probe_id[:8]}, {shown_line(probe.uri)})"
