"""The journals of all shards -> one. A shard that is missing, or not finished, is said."""

import contextlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from gradcam_core.batch.journal import COMPLETE, JOURNAL, Journal, JournalError

NAME = re.compile(r"shard-(\d+)-of-(\d+)\.sqlite")


def merge_shards(folder: Path) -> tuple[int, tuple[str, ...]]:
    """Write the results of all shards into the folder's journal; return how many, and sentences on what is missing.

    Raises JournalError where there are no shards, or shards of different settings.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise JournalError("The folder of the shards cannot be read.", "Give the folder of --out.") from error
    numbers = sorted((int(match[1]), int(match[2])) for match in map(NAME.fullmatch, names) if match)
    if not numbers:
        raise JournalError("There are no shards in this folder.", "Run batch with --shard 1/N and the others first.")
    counts = {count for _, count in numbers}
    if len(counts) > 1:
        raise JournalError(
            f"The shards here belong to different divisions: of {' and of '.join(map(str, sorted(counts)))}.",
            "Move those of one division away.",
        )
    (count,) = counts
    absent = sorted(set(range(1, count + 1)) - {index for index, _ in numbers})
    sentences = [f"Shard {index} of {count} is missing: its pictures are not in the results." for index in absent]
    with contextlib.ExitStack() as stack:
        shards = []
        for index, _ in numbers:
            shard = Journal(folder / f"shard-{index}-of-{count}.sqlite")
            stack.callback(shard.close)
            shards.append(shard)
            if shard.about.get(COMPLETE) is False:
                sentences.append(f"Shard {index} of {count} has not ended: some of its pictures are missing.")
        return _merged(folder, shards), tuple(sentences)


def _merged(folder: Path, shards: Sequence[Journal]) -> int:
    first = {name: value for name, value in shards[0].about.items() if name not in ("format", COMPLETE)}
    for shard in shards:
        if any(shard.about.get(name) != value for name, value in first.items()):
            raise JournalError("The shards were computed with different settings.", "Compute them again alike.")
    whole, written = Journal(folder / JOURNAL, first), 0
    try:
        for shard in shards:
            results = shard.results(tiles=True, order="id")
            while group := list(itertools.islice(results, 2000)):
                whole.add(group)
                written += len(group)
        return written
    finally:
        whole.close()
