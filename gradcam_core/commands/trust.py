"""`trust`: checks of a picture's heatmap, in words; and their thresholds, derived from pictures of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.explain import chosen_target
from gradcam_core.commands.flags import (
    blanked_areas,
    checked_flags,
    files_in,
    layer_flag,
    load_chosen,
    model_flags,
    names_flag,
    picture_flags,
    progress_of,
    read_chosen,
    target_flag,
    thresholds_of,
    to_method,
    write_out,
)
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, name_of, results_of, say
from gradcam_core.errors import GradcamError
from gradcam_core.text import counted, one_line

MARKS = {"passed": "passed", "attention": "ATTENTION", "not tested": "not tested"}


def trust_flags(flags: Flags) -> None:
    """Add the flags of `trust`."""
    flags.add_argument("images", metavar="IMAGE", nargs="*", type=Path, help="picture files")
    model_flags(flags)
    layer_flag(flags)
    checked_flags(flags)
    target_flag(
        flags, "default: the most probable class, best object or largest region; box:0, segment:cat, similar:FILE"
    )
    picture_flags(flags)
    flags.add_argument("--json", action="store_true", help="one JSON object per picture, instead of words")
    names_flag(flags)
    flags.add_argument("--quiet", action="store_true", help="no progress")
    flags.add_argument("--calibrate", type=Path, metavar="FOLDER", help="derive thresholds on this folder's pictures")
    flags.add_argument("--out", type=Path, metavar="FILE", help="where --calibrate writes them")


@command(trust_flags)
def trust(given: Given) -> int:
    """Check whether a picture's heatmap can be trusted; with --calibrate, derive the thresholds of the checks."""
    if (given.calibrate is None) == (not given.images) or (given.calibrate is None) != (given.out is None):
        raise GradcamError(
            "It is not clear what to do.", "Write trust IMAGE --model REF, or trust --calibrate FOLDER --out FILE."
        )
    method, limits = to_method(given.method), thresholds_of(given)
    model = load_chosen(given)
    target = given.target and chosen_target(given.target, model, given)
    request = {"targets": target, "methods": [method], "layers": given.layer}
    core.check_request(model, **request)
    if given.calibrate is not None:
        return _calibrate(given, model)

    def check(place: int, path: Path) -> tuple[core.Explanation, str, core.Trust]:
        image, progress = read_chosen(path, given), progress_of(given)
        explanation = core.explain(image, model, top_k=1, on_progress=progress, **request)
        checks = core.trust(explanation, explanation.heatmaps[-1], model, thresholds=limits, on_progress=progress)
        return explanation, name_of(path, place, given.names), checks

    failed = list[Path]()
    for explanation, name, checked in results_of(given.images, given.names, check, failed):
        _report(explanation, name, checked, given.json)
    return SOME_FAILED if failed else WORKED


def _report(explanation: core.Explanation, name: str, checked: core.Trust, as_json: bool) -> None:
    unsuited = explanation.unsuited
    if as_json:
        parts = {
            "image": {"sha256": explanation.image.sha256},
            "model": {"fingerprint": explanation.fingerprint, **explanation.outputs.to_dict()},
        }
        say(core.to_json(parts | {"unsuited": unsuited} | core.trust_to_dict(checked)).decode())
        return
    say(f"{name}: {one_line(checked.heatmap.target.label)}. {checked.outcome}")
    for words in unsuited:
        say(f"  {MARKS['attention']:<10}  {words}")
    for check in checked.checks:
        say(f"  {MARKS[check.outcome]:<10}  {check.question} {one_line(check.sentence, 1000)}")
    limits = checked.thresholds
    for words in (*checked.always, f"Thresholds: version {limits.version}, {limits.set}."):
        say(f"  {one_line(words, 1000)}")


def _calibrate(given: Given, model: core.LoadedModel) -> int:
    paths, failed = files_in(given.calibrate), list[Path]()
    derived = core.derive_thresholds(
        results_of(paths, given.names, lambda place, path: core.read_image(path, blanked=blanked_areas(given)), failed),
        model,
        name="",
        method=to_method(given.method),
        layers=given.layer,
        count=len(paths),
        on_progress=progress_of(given),
    )
    derived = replace(derived, set=f"{counted(len(paths) - len(failed), 'picture')}, model {model.fingerprint[:8]}")
    content = core.write_thresholds(derived)
    write_out(given.out, content.encode(), "thresholds")
    say(content.rstrip())
    return SOME_FAILED if failed else WORKED
