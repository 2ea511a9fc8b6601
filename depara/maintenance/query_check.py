"""What a finished query must be: its manifest, and the tables that it vouches for."""

from __future__ import annotations

from dataclasses import dataclass

from depara.errors import StoreError
from depara.locations import redact
from depara.maintenance.inventory import Files
from depara.maintenance.problem import Problem
from depara.store.layout import query_folder, query_manifest_path, query_table_path
from depara.store.queries import read_query_manifest, read_query_tables
from depara.store.storage import Storage

_AGAIN = "ask again with `depara query --fresh`, or remove the folder"


@dataclass(frozen=True)
class QueryCheck:
    """Checks one finished query; ``fast`` looks at presence and sizes only."""

    storage: Storage
    query_id: str
    fast: bool = False

    @property
    def folder(self) -> str:
        """The query's folder, relative to the output."""
        return query_folder(self.query_id)

    def problems(self, files: Files) -> list[Problem]:
        """Returns what is wrong with the query, given its files as they were listed.

        Nothing is wrong with a query that is not, or no longer, finished.

        Raises:
            StorageUnavailableError: the storage does not answer.
        """
        try:
            manifest = read_query_manifest(self.storage, self.query_id)
            if manifest is None:
                return []
            for name, fact in manifest["tables"].items():
                path = query_table_path(self.query_id, name)
                if path not in files:
                    return [self._problem(path, "is missing")]
                if files[path].bytes != fact.get("bytes"):
                    return [self._problem(path, "has another size")]
            if not self.fast:
                read_query_tables(self.storage, manifest)
        except StoreError as error:
            path = query_manifest_path(self.query_id)
            return [self._problem(path, f"cannot be used: {error}")]
        return []

    def _problem(self, path: str, what: str) -> Problem:
        return Problem(redact(self.storage.location(path)), what, remedy=_AGAIN)
