"""Where everything lies in an output location: every path, once.

All paths are relative to the output::

    graphs/<2 digits>/<key>/graph.json              the commit marker of a graph, written last
    graphs/<2 digits>/<key>/{nodes-*,edges,...}     its artifacts; outputs, vectors: optional
    graphs/<2 digits>/<key>/sketch.parquet          made from them when it is first asked for
    graphs/<2 digits>/<key>/objects-<key>.parquet   features of objects, named by their boxes
    scans/<scan id>/manifest.json                   written last, makes a scan a finished one
    scans/<scan id>/<table>.parquet                 its tables; beside them scan.yaml, cards.json
    scans/<scan id>/<table>/part-*.parquet          a large table, a part per block of targets
    latest.json                                     names the last finished scan
    canvases/<hash>.parquet, canvases/sets/<key>    decoded probes, and the sets that they form
    known/{models,probes}/<fingerprint>.json        what is known of unchanged inputs
    running/<scan id>/{owner,plan}.json             a scan under way: sign of life, its graphs
    queries/<query id>/query.json                   written last, makes a query a finished one
    queries/<query id>/<table>.parquet, graphs/...  its tables, and the graphs of its model
"""

from __future__ import annotations

from depara.types import ProbeRange

GRAPHS = "graphs"
SCANS = "scans"
CANVASES = "canvases"
KNOWN = "known"
RUNNING = "running"
QUERIES = "queries"
FOLDERS = (GRAPHS, SCANS, CANVASES, KNOWN, RUNNING, QUERIES)
"""All folders of an output."""

KNOWN_MODELS = f"{KNOWN}/models"
KNOWN_PROBES = f"{KNOWN}/probes"

MARKER_FILE = "graph.json"
EDGES_FILE = "edges.parquet"
GRAMS_FILE = "grams.parquet"
FEATURES_FILE = "features.parquet"
SKETCH_FILE = "sketch.parquet"
NODES_PREFIX = "nodes-"
OBJECTS_PREFIX = "objects-"

LATEST_FILE = "latest.json"


def graph_folder(key: str) -> str:
    """Returns the folder of a graph."""
    return f"{GRAPHS}/{key[:2]}/{key}"


def marker_path(key: str) -> str:
    """Returns the path of a graph's commit marker."""
    return f"{graph_folder(key)}/{MARKER_FILE}"


def sketch_path(key: str) -> str:
    """Returns the path of a graph's sketch."""
    return f"{graph_folder(key)}/{SKETCH_FILE}"


def nodes_file(probes: ProbeRange) -> str:
    """Returns the name of the node file of one probe range, in its graph's folder."""
    return f"{NODES_PREFIX}{probes}.parquet"


def objects_file(objects_key: str) -> str:
    """Returns the name of the file of some objects' features, in a graph's folder."""
    return f"{OBJECTS_PREFIX}{objects_key}.parquet"


def objects_key(file: str) -> str:
    """Returns the key of the objects that a file is named by."""
    return file.removeprefix(OBJECTS_PREFIX).removesuffix(".parquet")


def scan_folder(scan_id: str) -> str:
    """Returns the folder of a scan."""
    return f"{SCANS}/{scan_id}"


def table_path(scan_id: str, table: str) -> str:
    """Returns the path of one table of a scan."""
    return f"{scan_folder(scan_id)}/{table}.parquet"


def part_path(scan_id: str, table: str, number: int) -> str:
    """Returns the path of one part of a table that a scan has in parts."""
    return f"{scan_folder(scan_id)}/{table}/part-{number:05d}.parquet"


def manifest_path(scan_id: str) -> str:
    """Returns the path of a scan's manifest."""
    return f"{scan_folder(scan_id)}/manifest.json"


def scan_file_path(scan_id: str) -> str:
    """Returns the path of a scan's resolved scan file."""
    return f"{scan_folder(scan_id)}/scan.yaml"


def cards_path(scan_id: str) -> str:
    """Returns the path of the cards of a scan's models."""
    return f"{scan_folder(scan_id)}/cards.json"


def collected_path(scan_id: str) -> str:
    """Returns the path of the note that a scan's graphs may have been collected."""
    return f"{scan_folder(scan_id)}/collected.json"


def evaluation_folder(scan_id: str) -> str:
    """Returns the folder of a scan's evaluation, unless another one is asked for."""
    return f"{scan_folder(scan_id)}/evaluation"


def canvases_path(content: str) -> str:
    """Returns the path of a file of canvases, named by its content."""
    return f"{CANVASES}/{content}.parquet"


def probe_set_path(key: str) -> str:
    """Returns the path of a probe set's record."""
    return f"{CANVASES}/sets/{key}.json"


def known_model_path(fingerprint: str) -> str:
    """Returns the path of the card of an unchanged model."""
    return f"{KNOWN_MODELS}/{fingerprint}.json"


def known_probes_path(fingerprint: str) -> str:
    """Returns the path of the record of unchanged probes."""
    return f"{KNOWN_PROBES}/{fingerprint}.json"


def owner_path(scan_id: str) -> str:
    """Returns the path of a running scan's sign of life."""
    return f"{RUNNING}/{scan_id}/owner.json"


def plan_path(scan_id: str) -> str:
    """Returns the path of a running scan's list of graphs."""
    return f"{RUNNING}/{scan_id}/plan.json"


def query_folder(query_id: str) -> str:
    """Returns the folder of a query: an output of its own, as far as graphs go."""
    return f"{QUERIES}/{query_id}"


def query_manifest_path(query_id: str) -> str:
    """Returns the path of a query's manifest."""
    return f"{query_folder(query_id)}/query.json"


def query_table_path(query_id: str, table: str) -> str:
    """Returns the path of one table of a query."""
    return f"{query_folder(query_id)}/{table}.parquet"
