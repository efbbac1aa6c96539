"""The journal: one SQLite file in which every picture's result stands, written in whole transactions.

One process writes a journal; a shard has its own. The rollback journal and full synchronisation also suit network
file systems, and a process that is killed leaves whole transactions only.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gradcam_core.batch.records import FAILED, Job, Result, StoredMap, to_bytes
from gradcam_core.errors import GradcamError

FORMAT = 2
# What numbers and texts raise that were not written here.
UNREADABLE = (ValueError, TypeError, RecursionError)
JOURNAL, SHARD = "journal.sqlite", "shard-{index}-of-{count}.sqlite"
COMPLETE = "complete"
COLUMNS = (
    *("id", "name", "size", "modified_ns", "status", "problem", "sha256", "key", "label", "label_index"),
    *("probability", "true_label", "correct", "true_probability", "value", "border", "state", "note", "overlay"),
)
TABLES = f"""
create table about (name text primary key, value text not null);
create table results ({", ".join(COLUMNS)}, primary key (id)) without rowid;
create table maps (id, role, target, label, layer, rows, columns, probability, down, across, signed, numbers,
    primary key (id, role)) without rowid;
create table tiles (id primary key, jpeg) without rowid;
"""

# `correct` is null where there is nothing to compare.
ORDERS = {
    "name": "name",
    "id": "id",
    "worst": f"""case when status = '{FAILED}' then 0 when correct = 0 then 1 else 2 end,
        case when correct = 0 then probability else border end desc, name""",
}


def journal_name(shard: tuple[int, int] | None = None) -> str:
    """The name of the journal of a whole batch, or of shard (index from 1, count)."""
    return JOURNAL if shard is None else SHARD.format(index=shard[0], count=shard[1])


class JournalError(GradcamError):
    """A journal that cannot be used."""


class Journal:
    """The results of one output folder, or of one shard. Raises JournalError where the file is another one's."""

    def __init__(self, path: Path, about: Mapping[str, Any] | None = None) -> None:
        """Open a journal and begin it where it is new; with `about` None, to read only."""
        self.path = path
        try:
            self._database = self._opened(about)
            self._database.execute(f"select {', '.join(COLUMNS)} from results limit 0")
            kept = {name: json.loads(value) for name, value in self._database.execute("select name, value from about")}
        except (sqlite3.Error, OSError, *UNREADABLE) as error:
            raise _unusable(error) from error
        if kept.get("format") != FORMAT:
            self.close()
            raise JournalError(
                "The journal in this folder was written by another version.",
                "Finish with that version, or choose another folder for the results. Nothing was changed.",
            )
        self.about: Mapping[str, Any] = kept
        differing = [name for name, value in (about or {}).items() if kept.get(name) != value]
        if differing:
            self.close()
            raise JournalError(
                f"This folder has results of other settings: another {' and '.join(differing)}.",
                "Choose another folder, or the same settings as before. Nothing was changed.",
            )

    def _opened(self, about: Mapping[str, Any] | None) -> sqlite3.Connection:
        if about is None:
            if not self.path.is_file():
                raise FileNotFoundError(str(self.path))
            reader = sqlite3.connect(self.path, check_same_thread=False)
            reader.execute("pragma query_only = on")
            return reader
        database = sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)
        database.execute("pragma locking_mode = exclusive")
        database.execute("pragma synchronous = full")
        database.execute("begin exclusive")
        if not database.execute("select count(*) from sqlite_master").fetchone()[0]:
            for statement in filter(str.strip, TABLES.split(";")):
                database.execute(statement)
            values = {"format": FORMAT, **about}
            rows = [(name, json.dumps(value)) for name, value in values.items()]
            database.executemany("insert into about values (?, ?)", rows)
        database.execute("commit")
        return database

    def add(self, results: Iterable[Result]) -> None:
        """Write results in one transaction, in the place of earlier ones. Raises sqlite3.Error, also on a full disk."""
        with self._transaction() as database:
            for result in results:
                values = [getattr(result, column) for column in COLUMNS]
                marks = ", ".join("?" * len(COLUMNS))
                database.execute(f"insert or replace into results values ({marks})", values)
                database.execute("delete from maps where id = ?", (result.id,))
                database.executemany(
                    "insert into maps values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_map_row(result.id, each) for each in result.maps],
                )
                database.execute("delete from tiles where id = ?", (result.id,))
                if result.tile:
                    database.execute("insert into tiles values (?, ?)", (result.id, result.tile))

    def mark(self, *, complete: bool) -> None:
        """Note whether every picture of the run has a result. A merge names the shards of which this is not true."""
        try:
            self._database.execute("insert or replace into about values (?, ?)", (COMPLETE, json.dumps(complete)))
        except sqlite3.Error as error:
            raise _unusable(error) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("begin immediate")
        try:
            yield self._database
            self._database.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("rollback")
            raise

    def finished(self, jobs: Sequence[Job], *, again: bool = False, overlays: str = "") -> frozenset[str]:
        """The ids of those jobs whose result stands here already, for the same file and label.

        With `again`, those that failed do not count; with a folder of `overlays`, those whose overlay is not there.
        """
        columns = "id, size, modified_ns, true_label, status, overlay"
        known = {row[0]: row[1:] for row in self._database.execute(f"select {columns} from results")}
        drawn = {entry.name for entry in os.scandir(overlays)} if overlays else frozenset[str]()

        def is_finished(job: Job) -> bool:
            *same, status, overlay = known.get(job.id, (None,) * 5)
            if same != [job.size, job.modified_ns, job.label]:
                return False
            return not again if status == FAILED else not overlays or overlay in drawn

        return frozenset(job.id for job in jobs if is_finished(job))

    def results(self, *, tiles: bool = False, order: Literal["name", "id", "worst"] = "name") -> Iterator[Result]:
        """Every result, one at a time, with its maps. Raises JournalError where one is damaged.

        The worst: what failed, wrong answers by falling probability, the others by falling heat at the border.
        """
        try:
            for row in self._database.execute(f"select {', '.join(COLUMNS)} from results order by {ORDERS[order]}"):
                yield self._result(row, tiles)
        except (sqlite3.Error, *UNREADABLE) as error:
            raise _unusable(error) from error

    def result(self, picture: str) -> Result | None:
        """The result of a picture by its id, with its small picture. Raises JournalError where it is damaged."""
        try:
            query = f"select {', '.join(COLUMNS)} from results where id = ?"
            row = self._database.execute(query, (picture,)).fetchone()
            return None if row is None else self._result(row, True)
        except (sqlite3.Error, *UNREADABLE) as error:
            raise _unusable(error) from error

    def _result(self, row: tuple[Any, ...], tiles: bool) -> Result:
        values = dict(zip(COLUMNS, row, strict=True))
        values["correct"] = None if values["correct"] is None else bool(values["correct"])
        maps = tuple(map(_stored_map, self._database.execute("select * from maps where id = ?", (row[0],))))
        return Result(**values, maps=maps, tile=self.tile(row[0]) if tiles else b"")

    def tile(self, picture: str) -> bytes:
        """The small picture of a result, by its id; empty where there is none."""
        row = self._database.execute("select jpeg from tiles where id = ?", (picture,)).fetchone()
        return bytes(row[0]) if row else b""

    def counts(self) -> Mapping[str, int]:
        """How many results have each status."""
        return dict(self._database.execute("select status, count(*) from results group by status"))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _map_row(picture: str, each: StoredMap) -> tuple[Any, ...]:
    head = (picture, each.role, each.target, each.label, each.layer, *each.raw.shape, each.probability)
    return (*head, *each.offset, int(each.signed), to_bytes(each.raw))


def _stored_map(row: tuple[Any, ...]) -> StoredMap:
    _, role, target, label, layer, rows, columns, probability, down, across, signed, numbers = row
    raw = np.frombuffer(numbers, "<f4").reshape(rows, columns).astype(np.float32)
    return StoredMap(role, target, label, layer, raw, probability, (down, across), bool(signed))


def _unusable(error: Exception) -> JournalError:
    words = str(error)
    if "locked" in words:
        return JournalError(
            "Another run writes into this folder.", "Wait until it has ended, or choose another folder."
        )
    if isinstance(error, FileNotFoundError) or "unable to open" in words:
        return JournalError("There is no journal here that can be opened.", "Check the folder, and that you may write.")
    if "readonly" in words or "read-only" in words or isinstance(error, PermissionError):
        return JournalError("This folder is read-only.", "Choose a folder for the results that you may write to.")
    if "full" in words:
        return JournalError("The disk is full.", "Free some space, and run the same command again.")
    return JournalError(
        "The journal in this folder is damaged, or no journal.", "Move it away, or choose another folder."
    )
