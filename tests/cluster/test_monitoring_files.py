"""The dashboard and the alerts: they parse, and ask for metrics and labels that a scan has."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from cluster.pool.metrics import METRICS
from tests.conftest import ROOT

MONITORING = ROOT / "cluster" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana.json").read_text())
ALERTS = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

LABELS = {name: set(one.labels) for one in METRICS for name in one.exported}
"""Of each exported name, those of our own."""
RAYS_LABELS = {"SessionName", "WorkerId", "NodeAddress"}
"""That Ray puts on every metric, as a real scan has shown; session and worker name a driver."""

FUNCTIONS = {"rate", "increase", "changes", "histogram_quantile"}
OVER_TIME = {"max_over_time", "absent_over_time"}
WORDS = {"sum", "by", "on", "and", "unless"}
DURATION = r"(?:\d+[smhd]|\$__rate_interval)"


def faults(expression: str) -> list[str]:
    """What is wrong with a PromQL expression, for the part of the language that is used here."""
    found = []
    text = re.sub(r'"[^"]*"', '""', expression)
    if text.count('"') % 2 or any(text.count(a) != text.count(b) for a, b in ("()", "[]", "{}")):
        found.append("a bracket or quote is not closed")
    for name, matchers in re.findall(r"(\w+)\s*\{([^}]*)\}", text):
        for matcher in filter(None, matchers.split(",")):
            label = re.fullmatch(r'\s*(\w+)(?:=~|!~|!=|=)""\s*', matcher)
            if label is None or label[1] not in LABELS.get(name, set()) | RAYS_LABELS:
                found.append(f"{name} has no label {matcher}")
    used = [LABELS[name] for name in re.findall(r"\w+", text) if name in LABELS]
    known = RAYS_LABELS.union({"le"} if "_bucket" in text else (), *used)
    for grouped in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", text):
        found += [f"no label {one}" for one in re.findall(r"\w+", grouped) if one not in known]
    if re.search(rf"\[(?!{DURATION}\])", text):
        found.append("a range is no duration")
    for function, argument in re.findall(r"\b(\w+)\s*\(\s*(\w+)", text):
        is_counter = argument.endswith(("_total", "_bucket", "_sum", "_count"))
        if function in FUNCTIONS - {"changes"} and argument in LABELS and not is_counter:
            found.append(f"{function} of {argument}, which is no counter")
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on)\s*\([^)]*\)", " ", text)
    words = set(re.findall(r"\b[A-Za-z_]\w*", bare))
    unknown = words - LABELS.keys() - FUNCTIONS - OVER_TIME - WORDS
    found += [f"{one} is not known" for one in unknown]
    return found + ([] if words & LABELS.keys() else ["no metric"])


def targets() -> list[Any]:
    return [
        pytest.param(target["expr"], id=f"{panel['id']}-{target['refId']}")
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]


def rules() -> list[Any]:
    return [pytest.param(rule, id=rule["alert"]) for group in ALERTS for rule in group["rules"]]


@pytest.mark.parametrize("expression", targets())
def test_panels_ask_for_what_a_scan_tells(expression: str) -> None:
    assert faults(expression) == []
    assert expression.count('{SessionName=~"$session"') == len(re.findall("ray_", expression))


@pytest.mark.parametrize("rule", rules())
def test_alerts_ask_for_what_a_scan_tells(rule: dict[str, Any]) -> None:
    assert faults(rule["expr"]) == []
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0m"))
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert f"`{rule['alert']}`" in OPERATIONS, "docs/operations.md says what to do"
    told = " ".join(rule["annotations"].values())
    by = set(re.findall(r"\$labels\.(\w+)", told))
    grouped = re.findall(r"sum by \(([^)]*)\)", rule["expr"])
    kept = {name for one in grouped for name in re.findall(r"\w+", one)}
    assert by <= (kept if grouped else RAYS_LABELS), "a text names a label that the sum has lost"


@pytest.mark.parametrize(
    ("fault", "expression"),
    [
        ("not known", "sum(ray_depara_units_total)"),
        ("not known", "sum(depara_graphs)"),
        ("not known", "avg(ray_depara_workers)"),
        ("no label", 'ray_depara_workers{phase="busy"}'),
        ("no label", 'ray_depara_workers{state"busy"}'),
        ("no label", "sum by (kind) (rate(ray_depara_worker_seconds_total[5m]))"),
        ("no label", "sum by (le) (rate(ray_depara_graphs_total[5m]))"),
        ("no duration", "rate(ray_depara_graphs_total[5 minutes])"),
        ("no counter", "rate(ray_depara_workers[5m])"),
        ("not closed", "sum(ray_depara_workers"),
        ("no metric", "sum(1)"),
    ],
)
def test_a_broken_expression_is_noticed(fault: str, expression: str) -> None:
    found = faults(expression)
    assert any(fault in one for one in found), found


def test_every_metric_has_a_panel_and_a_line_in_the_documents() -> None:
    asked = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    for one in METRICS:
        assert any(name in asked for name in one.exported), one.name
        assert f"`{one.name}`" in OPERATIONS, one.name


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {"${datasource}"}
    names = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert names == {"datasource", "session"}
    (session,) = (one for one in DASHBOARD["templating"]["list"] if one["name"] == "session")
    assert set(re.findall(r"ray_\w+", session["query"]["query"])) <= LABELS.keys()
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & places, f"{panel['title']} lies over another panel"
        places |= cells
