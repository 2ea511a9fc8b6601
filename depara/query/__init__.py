"""A new model against a finished scan: its sources, its cuts, and where it would serve itself."""

from depara.query.answer import QueryAnswer
from depara.query.query import QUERY_VERSION, query

__all__ = ["QUERY_VERSION", "QueryAnswer", "query"]
