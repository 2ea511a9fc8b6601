"""Finished scans for people: open one, rank from it, and show it."""

from depara.results.nights import list_scans, list_times
from depara.results.results import ScanResults, open_scan

__all__ = ["ScanResults", "list_scans", "list_times", "open_scan"]
