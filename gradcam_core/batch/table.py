"""A journal -> results.csv and results.parquet, a row a picture, without all of them in memory at once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from gradcam_core.batch.records import ANSWER, TRUE, Result, hashed_name
from gradcam_core.errors import GradcamError
from gradcam_core.files import whole_file
from gradcam_core.text import Cell, to_csv

COLUMNS = (
    *("sha256", "name", "status", "label", "probability", "label_index", "true_label", "correct", "true_probability"),
    *("value", "border_share", "evidence", "layer", "map_target", "raw_peak", "overlay", "problem", "note", "key"),
)
GROUP = 4096


def row_of(result: Result, names: Literal["keep", "hash"]) -> dict[str, Cell]:
    """The cells of a result; with "hash", the name is the picture's checksum, or its name's where it has none."""
    stored = next((each for each in result.maps if each.role == ANSWER), None)
    return {
        "sha256": result.sha256,
        "name": result.name if names == "keep" else hashed_name(result),
        "status": result.status,
        "label": result.label,
        "probability": result.probability,
        "label_index": result.label_index,
        "true_label": result.true_label,
        "correct": result.correct,
        "true_probability": result.true_probability,
        "value": result.value,
        "border_share": result.border,
        "evidence": result.state,
        "layer": "" if stored is None else stored.layer,
        "map_target": "" if stored is None else stored.label,
        "raw_peak": None if stored is None else float(stored.raw.max()),
        "overlay": result.overlay,
        "problem": result.problem,
        "note": result.note,
        "key": result.key,
    }


def write_results_csv(path: Path, results: Iterable[Result], names: Literal["keep", "hash"] = "keep") -> int:
    """Write results.csv whole or not at all; return the number of rows. Raises OSError."""
    count, heading = 0, to_csv(COLUMNS, ())
    with whole_file(path) as part, part.open("wb") as file:
        file.write(heading)
        for group in _groups(results):
            file.write(to_csv(COLUMNS, [row_of(result, names) for result in group])[len(heading) :])
            count += len(group)
    return count


def write_results_parquet(path: Path, results: Iterable[Result], names: Literal["keep", "hash"] = "keep") -> int:
    """Write results.parquet: the columns of the CSV, and the raw maps as lists of numbers, rows first.

    Raises GradcamError where pyarrow is missing, OSError where it cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise GradcamError(
            "Parquet files need the package pyarrow.", "Install it: pip install pyarrow. The CSV needs nothing."
        ) from error
    text, number, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    numbers = {"probability", "true_probability", "value", "border_share", "raw_peak"}
    kinds = {name: number if name in numbers else text for name in COLUMNS}
    kinds |= {"label_index": whole, "correct": pyarrow.bool_()}
    values = pyarrow.list_(pyarrow.float32())
    fields = [*kinds.items(), ("map", values), ("map_rows", whole), ("map_columns", whole), ("true_map", values)]
    schema, count = pyarrow.schema(fields), 0
    with whole_file(path) as part, pyarrow.parquet.ParquetWriter(part, schema, compression="zstd") as writer:
        for group in _groups(results):
            rows = [{**row_of(result, names), **_maps(result)} for result in group]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            count += len(rows)
    return count


def _maps(result: Result) -> Mapping[str, Any]:
    maps = {each.role: each.raw for each in result.maps}
    own, true = maps.get(ANSWER), maps.get(TRUE)
    return {
        "map": None if own is None else own.ravel(),
        "map_rows": None if own is None else own.shape[0],
        "map_columns": None if own is None else own.shape[1],
        "true_map": None if true is None else true.ravel(),
    }


def _groups(results: Iterable[Result]) -> Iterator[list[Result]]:
    group: list[Result] = []
    for result in results:
        group.append(result)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group
