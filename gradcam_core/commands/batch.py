"""`batch`: a heatmap for every picture of a folder, in several processes or on several machines."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import (
    blank_flags,
    blanked_areas,
    labels_in,
    layer_flag,
    model_flags,
    model_options,
    names_flag,
    settle_names_in,
    target_flag,
    to_method,
    whole,
)
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, say, show_progress, warn, words_of
from gradcam_core.errors import GradcamError
from gradcam_core.files import write_whole
from gradcam_core.text import counted, one_line

# For engines that repeat what failed: the same would happen again.
NO_USE = 42


def batch_flags(flags: Flags) -> None:
    """Add the flags of `batch`."""
    flags.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="pictures, also in folders below it")
    model_flags(flags, required=False)
    layer_flag(flags)
    flags.add_argument("--method", default="grad_cam", metavar="NAME", help="a name, or name:option=value (grad_cam)")
    target_flag(flags, "this class instead of each picture's top prediction", default="")
    truths = flags.add_mutually_exclusive_group()
    truths.add_argument("--table", type=Path, metavar="CSV", help="true labels: columns name and label")
    truths.add_argument("--label-folders", action="store_true", help="the folder that a picture lies in is its label")
    flags.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    flags.add_argument("--overlays", action="store_true", help="also write overlays, as large as the pictures")
    flags.add_argument("--workers", type=whole(1), metavar="N", help="processes (default: as many as pay)")
    flags.add_argument(
        "--cluster", default="", metavar="ADDRESS", help='a Ray cluster; "local" for one on this machine'
    )
    flags.add_argument("--again", action="store_true", help="repeat the pictures that failed before")
    flags.add_argument("--shard", type=_shard, metavar="I/N", help="only part I of N, for one of N machines")
    flags.add_argument("--merge", action="store_true", help="join the shards in --out; computes nothing")
    blank_flags(flags)
    names_flag(flags)
    flags.add_argument("--quiet", action="store_true", help="no progress")


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count) <= 100_000):
        raise argparse.ArgumentTypeError(f"'{text}' is no part: write 1/8 to 8/8")
    return int(index), int(count)


@command(batch_flags)
def batch(given: Given) -> int:
    """Explain every picture of a folder; a second run computes only what is missing.

    Writes results.csv, results.parquet (with the raw maps), gallery.html, contact_sheet.jpg and a journal. Exit code 42
    of a shard: a retry is no use.
    """
    if given.merge:
        return _merge(given)
    if given.folder is None:
        raise GradcamError("There is no folder of pictures.", "Write batch FOLDER, or --merge to join shards.")
    if given.model is None:
        raise GradcamError("There is no model.", "Name one with --model.")
    try:
        return _compute(given)
    except core.JournalError:
        raise
    except GradcamError as error:
        if given.shard is None:
            raise
        warn(f"error: {words_of(error)}")
        return NO_USE


def _compute(given: Given) -> int:
    jobs = _pictures(given)
    recipe = core.Recipe(
        given.model,
        model_options(given),
        to_method(given.method),
        tuple(given.layer or ()),
        given.target,
        str(given.out / "overlays") if given.overlays else "",
        named=given.names == "keep",
        blanked=blanked_areas(given),
    )
    if given.shard:
        jobs = tuple(job for job in jobs if core.in_shard(job, given.shard))
    _folder(given.out)
    path = given.out / core.journal_name(given.shard)
    said = set[str]()

    def show(standing: core.Standing) -> None:
        if standing.paused and standing.paused not in said:
            said.add(standing.paused)
            warn(standing.paused)
        if not given.quiet and standing.total:
            show_progress((standing.known + standing.done) / standing.total, _progress_words(standing))

    standing = core.run_batch(
        jobs, recipe, path, workers=given.workers, cluster=given.cluster, again=given.again, on_standing=show
    )
    show_progress(1.0, "")
    if standing.known:
        say(f"{counted(standing.known, 'picture')} known from before")
    return _write(given, path, len(jobs), {job.id for job in jobs})


def _progress_words(standing: core.Standing) -> str:
    left = standing.seconds_left
    time = "" if left is None else f", {left / 60:.0f} min left" if left >= 90 else f", {left:.0f} s left"
    return f"{standing.known + standing.done} of {standing.total} ({standing.rate:.1f} a second{time})"


def _pictures(given: Given) -> tuple[core.Job, ...]:
    """The pictures with their true labels, without the masks that lie beside them."""
    table = labels_in(given.table) if given.table else ()
    jobs = core.find_pictures(given.folder, without=[given.out])
    settle_names_in(given, jobs)
    masks = core.find_masks([job.name for job in jobs], table)
    if masks:
        say(f"{counted(len(masks), 'mask')} left out")
        jobs = tuple(job for job in jobs if job.name not in masks)
    if given.label_folders:
        return core.with_folder_labels(jobs)
    if not table:
        return jobs
    labelled, sentences = core.with_labels(jobs, table)
    for sentence in sentences:
        warn(sentence)
    return labelled


def _merge(given: Given) -> int:
    given.names = given.names or "keep"  # as the shards have them
    count, missing = core.merge_shards(given.out)
    for sentence in missing:
        warn(sentence)
    return max(_write(given, given.out / core.journal_name(), count), SOME_FAILED if missing else WORKED)


def _write(given: Given, path: Path, pictures: int, wanted: Collection[str] | None = None) -> int:
    """Write the tables of a journal, and print how many rows they have; of the `wanted` pictures, by id, or of all."""
    part = "" if given.shard is None else f"-{path.stem}"
    journal = core.Journal(path)

    def results(order: Literal["name", "worst"] = "name") -> Iterator[core.Result]:
        return (result for result in journal.results(order=order) if wanted is None or result.id in wanted)

    try:
        tally = core.Tally()
        rows = core.write_results_csv(given.out / f"results{part}.csv", tally.counted(results()), given.names)
        try:
            core.write_results_parquet(given.out / f"results{part}.parquet", results(), given.names)
        except GradcamError as error:
            warn(f"note: {words_of(error)}")
        summary = tally.summary()
        core.write_batch_gallery(given.out / f"gallery{part}.html", results("worst"), journal.tile, summary)
        write_whole(given.out / f"contact_sheet{part}.jpg", core.batch_sheet(results("worst"), journal.tile))
        if summary.confusion:
            write_whole(given.out / f"confusion{part}.csv", core.confusion_to_csv(summary))
        others = sum(journal.counts().values()) - rows
    except OSError as error:
        raise GradcamError("The results cannot be written.", "Check the disk: the journal has everything.") from error
    finally:
        journal.close()
    if others:
        say(f"{counted(others, 'result')} of pictures that are no longer there: they stay in the journal alone")
    for sentence in summary.sentences:
        say(one_line(sentence, 1000))
    counts = f"{counted(pictures, 'picture')}, {counted(rows, 'row')}, {summary.failed} failed"
    say(f"{counts}: {given.out / f'results{part}.csv'}")
    # An engine would repeat a part whose pictures failed, in vain: the merge reports them.
    return SOME_FAILED if summary.failed and given.shard is None else WORKED


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GradcamError("The folder for results cannot be used.", "Choose one that you may write to.") from error
