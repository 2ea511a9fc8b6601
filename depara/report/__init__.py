"""The report of a finished scan: one HTML file that a person looks at."""

from depara.report.report import REPORT_FILE, WrittenReport, report_html, write_report

__all__ = ["REPORT_FILE", "WrittenReport", "report_html", "write_report"]
