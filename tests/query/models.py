"""The zoo that is asked, and the model that it is asked about."""

from __future__ import annotations

from tests.jobs.inline import tiny

ZOO = [tiny("a", 0), tiny("b", 1), tiny("c", 2, kwargs={"width": 6})]
NEW = tiny("new", 7, kwargs={"width": 5}, layers=["block?", "code"])
