"""The audit log: every change of an entry shows, a killed program loses none, and nothing names a person."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from gradcam_core import (
    AUDIT_EVENTS,
    AuditAnswer,
    AuditEntry,
    Reading,
    append_audit,
    audit_folder,
    audit_lines,
    audit_to_csv,
    audited_explanation,
    audited_model,
    explain,
    read_audit,
)
from gradcam_core.cli import main
from gradcam_core.errors import AuditError
from gradcam_core.records import ImageRecord, LoadedModel

NOVEMBER, DECEMBER = datetime(2026, 11, 27, 9, 30, tzinfo=UTC), datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
ENTRY = AuditEntry(
    "viewed",
    session="a1b2",
    user="reader 1",
    picture="f" * 64,
    model="timm:resnet50",
    fingerprint="e" * 64,
    layers=("layer4",),
    methods=("grad_cam",),
    targets=(AuditAnswer("nodule", 0.83),),
    answers=(AuditAnswer("nodule", 0.83), AuditAnswer("age", value=54.2, unit="years")),
)


def log_of(folder: Path, count: int = 6) -> Path:
    """A log of some entries; return its only file."""
    for number in range(1, count + 1):
        append_audit(folder, [AuditEntry("viewed", picture=f"{number:064x}")], NOVEMBER)
    return folder / "2026-11.jsonl"


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


# What is written


def test_entries_come_back_as_they_were_written_and_follow_each_other(tmp_path: Path) -> None:
    first, second = append_audit(tmp_path, [ENTRY, AuditEntry("exported", export="PNG")], NOVEMBER)
    (third,) = append_audit(
        tmp_path, [AuditEntry("impression", impression="Two lines.\nNo nodule. Größe 結節")], DECEMBER
    )
    reading = read_audit(tmp_path)
    assert reading.entries == (first, second, third)
    assert (first.targets, first.answers, first.user) == (ENTRY.targets, ENTRY.answers, "reader 1")
    assert third.impression == "Two lines.\nNo nodule. Größe 結節"
    assert [entry.number for entry in reading.entries] == [1, 2, 3]
    assert (first.previous, second.previous, third.previous) == ("0" * 64, first.hash, second.hash)
    assert first.time == "2026-11-27T09:30:00.000Z"
    assert sorted(file.name for file in tmp_path.glob("*.jsonl")) == ["2026-11.jsonl", "2026-12.jsonl"]
    assert reading.sentence == "The chain is whole: 3 entries, none changed, removed, inserted or moved."
    assert reading.last_hash == third.hash
    assert all(json.loads(line) for line in lines_of(tmp_path / "2026-11.jsonl"))


def test_a_clock_that_was_set_back_does_not_break_the_order_of_the_files(tmp_path: Path) -> None:
    append_audit(tmp_path, [ENTRY], DECEMBER)
    append_audit(tmp_path, [ENTRY], NOVEMBER)
    assert read_audit(tmp_path).is_whole
    assert [file.name for file in tmp_path.glob("*.jsonl")] == ["2026-12.jsonl"]


def test_text_is_bounded_and_stays_on_its_line(tmp_path: Path) -> None:
    hostile = "a\x00b\x1b[31m\ud800\u202ec" + "x" * 10_000
    append_audit(tmp_path, [AuditEntry("viewed", impression=hostile, layers=(hostile,) * 500)], NOVEMBER)
    (entry,) = read_audit(tmp_path).entries
    assert entry.impression.startswith("a b [31m  c")
    assert len(entry.impression) == 4000
    assert (len(entry.layers), len(entry.layers[0])) == (50, 200)


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    assert read_audit(tmp_path / "none").sentence == "The log has no entries yet."
    assert append_audit(tmp_path, []) == ()


def test_the_log_is_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert audit_folder().name == "audit"
    if sys.platform == "linux":
        assert audit_folder() == tmp_path / "cam-lightbox" / "audit"


# What is found


def changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[3].replace(b"viewed", b"Viewed"), *lines[4:]]


def removed(lines: list[bytes]) -> list[bytes]:
    return lines[:3] + lines[4:]


def moved(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def repeated(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[3], *lines[4:]]


def foreign(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], b'{"event":"viewed"}\n', *lines[3:]]


def cut_off(lines: list[bytes]) -> list[bytes]:
    return lines[:4]


def last_changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[5].replace(b"viewed", b"Viewed")]


def first_removed(lines: list[bytes]) -> list[bytes]:
    return lines[2:]


def all_removed(lines: list[bytes]) -> list[bytes]:
    return []


def with_a_new_hash(lines: list[bytes]) -> list[bytes]:
    """Change an entry as one who knows how lines are hashed."""
    from gradcam_core.audit.entries import from_line, to_line

    entry = from_line(lines[3])
    assert entry is not None
    forged = AuditEntry(**{name: getattr(entry, name) for name in entry.__slots__} | {"picture": "0" * 64})
    return [*lines[:3], to_line(forged), *lines[4:]]


@pytest.mark.parametrize(
    ("change", "number", "words"),
    [
        (changed, 4, "Entry 4 was changed."),
        (removed, 4, "Entry 4 was removed, moved or changed."),
        (moved, 3, "Entry 3 was removed, moved or changed."),
        (repeated, 4, "Entry 4 stands a second time"),
        (foreign, 4, "Before entry 4 there are lines that are no entries."),
        (cut_off, 5, "Entries 5 to 6 were removed from the end, or changed."),
        (last_changed, 6, "After entry 5 there are lines that are no entries."),
        (first_removed, 1, "Entries 1 to 2 were removed, moved or changed."),
        (all_removed, 1, "Entries 1 to 6 were removed from the end, or changed."),
        (with_a_new_hash, 5, "Entry 5 does not follow from entry 4: one of the two was changed or inserted."),
    ],
)
def test_a_change_of_the_log_shows(
    change: Callable[[list[bytes]], list[bytes]], number: int, words: str, tmp_path: Path
) -> None:
    path = log_of(tmp_path)
    path.write_bytes(b"".join(change(lines_of(path))))
    reading = read_audit(tmp_path)
    assert not reading.is_whole
    assert reading.faults[0].number == number
    assert reading.faults[0].words.startswith(words)
    assert f"first at entry {number}" in reading.sentence
    append_audit(tmp_path, [ENTRY], NOVEMBER)  # what is written afterwards does not hide it
    assert not read_audit(tmp_path).is_whole


def test_every_changed_byte_shows(tmp_path: Path) -> None:
    path = log_of(tmp_path, 2)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert not read_audit(tmp_path).is_whole, place


def test_removed_newest_entries_stay_visible_after_the_next_one(tmp_path: Path) -> None:
    path = log_of(tmp_path)
    path.write_bytes(b"".join(lines_of(path)[:4]))
    (entry,) = append_audit(tmp_path, [ENTRY], NOVEMBER)
    assert entry.number == 5
    words = [fault.words for fault in read_audit(tmp_path).faults]
    assert words == ["When entry 5 was written, entries 5 to 6 were missing: removed from the end."]


def test_a_removed_count_shows_before_and_after_the_next_entry(tmp_path: Path) -> None:
    log_of(tmp_path)
    (tmp_path / "head.json").unlink()
    assert "the newest entries may have been removed" in read_audit(tmp_path).faults[0].words
    append_audit(tmp_path, [ENTRY], NOVEMBER)
    (fault,) = read_audit(tmp_path).faults
    assert fault.words.startswith("When entry 7 was written, the file that counts the entries is missing")


def test_a_removed_month_shows(tmp_path: Path) -> None:
    log_of(tmp_path)
    append_audit(tmp_path, [ENTRY], DECEMBER)
    (tmp_path / "2026-11.jsonl").unlink()
    assert read_audit(tmp_path).faults[0].words == "Entries 1 to 6 were removed, moved or changed."


# Programs that are killed


@pytest.mark.parametrize("left", [1, 40, -2])
@pytest.mark.parametrize("month", [NOVEMBER, DECEMBER])
def test_a_write_that_was_cut_off_does_not_break_the_chain(left: int, month: datetime, tmp_path: Path) -> None:
    path = log_of(tmp_path, 3)
    head = (tmp_path / "head.json").read_bytes()
    before = path.read_bytes()
    append_audit(tmp_path, [ENTRY], NOVEMBER)
    line = path.read_bytes()[len(before) :]
    path.write_bytes(before + line[:left])  # as a kill in the middle of the write leaves it
    (tmp_path / "head.json").write_bytes(head)
    reading = read_audit(tmp_path)
    assert reading.is_whole
    assert reading.notes == ("The last write was cut off, or is under way. The next entry will note it.",)
    (entry,) = append_audit(tmp_path, [ENTRY], month)
    assert (entry.number, bool(entry.torn)) == (4, True)
    append_audit(tmp_path, [ENTRY], month)
    reading = read_audit(tmp_path)
    assert (reading.is_whole, reading.count) == (True, 5)
    assert reading.notes == ("Before entry 4 a write was cut off: the program or the machine stopped.",)
    exported = tmp_path / "exported.jsonl"
    exported.write_bytes(audit_lines(tmp_path))
    assert read_audit(exported).is_whole
    path.write_bytes(path.read_bytes().replace(line[:left], b"?" * len(line[:left]), 1))
    assert not read_audit(tmp_path).is_whole, "what was noted is not to be changed either"


def test_an_entry_that_lacks_only_its_line_break_counts(tmp_path: Path) -> None:
    path = log_of(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:-1])
    for month in (NOVEMBER, DECEMBER):
        append_audit(tmp_path, [ENTRY], month)
    reading = read_audit(tmp_path)
    assert (reading.is_whole, reading.count, reading.notes) == (True, 5, ())


def test_a_kill_between_entry_and_count_is_no_fault(tmp_path: Path) -> None:
    log_of(tmp_path, 3)
    head = (tmp_path / "head.json").read_bytes()
    append_audit(tmp_path, [ENTRY, ENTRY], NOVEMBER)
    (tmp_path / "head.json").write_bytes(head)
    assert read_audit(tmp_path).is_whole
    append_audit(tmp_path, [ENTRY], NOVEMBER)
    assert (read_audit(tmp_path).is_whole, read_audit(tmp_path).count) == (True, 6)


WRITER = """
import sys
from pathlib import Path
from gradcam_core import AuditEntry, append_audit
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    append_audit(Path(sys.argv[1]), [AuditEntry("viewed", session=sys.argv[3])])
    print(number, flush=True)
"""


def writer(folder: Path, count: int, name: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(folder), str(count), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_and_threads_append_to_one_log(tmp_path: Path) -> None:
    with writer(tmp_path, 15, "a") as first, writer(tmp_path, 15, "b") as second:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda number: append_audit(tmp_path, [ENTRY, ENTRY]), range(10)))
        assert [first.wait(60), second.wait(60)] == [0, 0]
    reading = read_audit(tmp_path)
    assert (reading.is_whole, reading.count, reading.notes) == (True, 50, ())


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_program_loses_no_entry_that_it_reported(tmp_path: Path) -> None:
    reported = 0
    for attempt in range(12):
        with writer(tmp_path, 100_000, "a") as program:
            assert program.stdout is not None
            program.stdout.readline()
            time.sleep(0.02 + 0.013 * attempt)
            program.send_signal(signal.SIGKILL)
            reported += len(program.stdout.read().splitlines())
        reading = read_audit(tmp_path)
        assert reading.is_whole, reading.faults
        assert reading.count >= reported
    append_audit(tmp_path, [ENTRY])
    assert read_audit(tmp_path).is_whole


def test_a_log_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AuditError, match="cannot be written") as caught:
        append_audit(tmp_path / "file", [ENTRY])
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full")
def test_a_full_disk_is_an_error_in_words(tmp_path: Path) -> None:
    log_of(tmp_path, 2)
    (tmp_path / "2026-12.jsonl").symlink_to("/dev/full")
    with pytest.raises(AuditError, match="full"):
        append_audit(tmp_path, [ENTRY], DECEMBER)
    assert read_audit(tmp_path).count == 2


# Bounds


def test_a_year_opens_soon(tmp_path: Path) -> None:
    append_audit(tmp_path, [ENTRY] * 2000, NOVEMBER)
    start = time.process_time()
    reading = read_audit(tmp_path)
    assert time.process_time() - start < 10, "a fifth of a second on an idle machine"
    assert (reading.is_whole, reading.count) == (True, 2000)


def test_hostile_lines_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    from gradcam_core.audit.chain import sha256
    from gradcam_core.audit.entries import LONGEST_LINE

    path = log_of(tmp_path, 2)
    head = b'{"number":3,"time":"","event":"viewed","previous":"' + b"0" * 64 + b'","picture":'
    bodies = [
        head + part for part in (b"[" * 100_000, b"1" * 100_000, b"NaN", b'"\\ud800"', b'"\\u001b"', b"{}", b"null")
    ]
    lines = [body + b',"hash":"' + sha256(body).encode() + b'"}\n' for body in bodies]
    path.write_bytes(path.read_bytes() + b"x" * (3 * LONGEST_LINE) + b"\n" + b"".join(lines) + b"\n" * 5000)
    reading = read_audit(tmp_path)
    assert (reading.count, len(reading.faults)) == (2, 1)
    assert len(read_audit(tmp_path, most=1).entries) == 1
    path.write_bytes(b"".join(lines_of(path)[:1] * 5000))
    reading = read_audit(tmp_path)
    assert (len(reading.faults), reading.more_faults) == (100, 4900)
    append_audit(tmp_path, [ENTRY], NOVEMBER)


# What an entry says


def test_an_explanation_is_logged_without_names(tiny: LoadedModel) -> None:
    pixels = np.random.default_rng(0).random((20, 30, 3), np.float32)
    image = ImageRecord(pixels, "c" * 64, "/home/x/Anna Smith.png", "PNG", frame=2, frames=3)
    explanation = explain(image, tiny, top_k=2, methods=("cam", "grad_cam"))
    entry = audited_explanation(explanation, "analysed")
    assert (entry.event, entry.picture, entry.frame) == ("analysed", "c" * 64, 2)
    assert entry.methods == ("cam", "grad_cam")
    assert entry.layers == (tiny.default_layer,)
    assert [answer.label for answer in entry.targets] == [each.label for each in explanation.predictions]
    assert entry.targets == entry.answers
    assert entry.targets[0].probability == pytest.approx(explanation.predictions[0].probability, rel=1e-5)
    assert entry.fingerprint == tiny.fingerprint
    assert "Anna" not in repr(entry)


@pytest.mark.parametrize(
    ("reference", "word"),
    [
        ("bundled:efficientnet_lite0", "bundled:efficientnet_lite0"),
        ("timm:resnet50", "timm:resnet50"),
        ("timm:local-dir:/home/smith/model", "file"),
        ("file:/home/smith/anna.pth", "file"),
        ("open-clip:local-dir:/home/smith", "file"),
        ("C:\\Users\\smith\\model.pth", "file"),
        ("memory", "memory"),
    ],
)
def test_a_model_is_named_without_its_place(reference: str, word: str) -> None:
    assert audited_model(reference) == word


def test_a_table_has_one_row_an_entry_and_no_formulas(tmp_path: Path) -> None:
    entries = append_audit(tmp_path, [ENTRY, AuditEntry("impression", impression="=1+1")], NOVEMBER)
    text = audit_to_csv(entries).decode("utf-8-sig")
    assert len(text.splitlines()) == 3
    assert '"nodule 0.83; age 54.2 years"' in text
    assert '"\'=1+1"' in text


def test_the_command_checks_and_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "log"
    path = log_of(folder)
    exported, table = tmp_path / "out.jsonl", tmp_path / "out.csv"
    assert main(["audit", str(folder), "--export", str(exported)]) == 0
    assert "The chain is whole: 6 entries" in capsys.readouterr().out
    assert exported.read_bytes() == path.read_bytes()
    assert main(["audit", str(exported), "--export", str(table)]) == 0
    assert len(table.read_text("utf-8-sig").splitlines()) == 7
    path.write_bytes(path.read_bytes().replace(b"viewed", b"Viewed", 1))
    assert main(["audit", str(folder)]) == 1
    assert "Entry 1 was changed." in capsys.readouterr().out
    assert main(["audit", str(folder), "--export", str(tmp_path / "x.pdf")]) == 2
    assert "--export" in capsys.readouterr().err
    assert main(["audit", str(tmp_path / "none")]) == 2


def test_the_documentation_names_every_event() -> None:
    text = (Path(__file__).parents[1] / "docs" / "audit.md").read_text("utf-8")
    assert not [event for event in AUDIT_EVENTS if f"`{event}`" not in text]


def test_a_reading_says_whether_the_reader_changed_their_mind() -> None:
    reading = Reading("Nodule, left.", "2026-11-27T09:30:00Z", "2026-11-27T09:30:00Z")
    assert reading.changed is None
    assert Reading("a", "", "", "a").changed is False
    assert Reading("a", "", "", "b").changed is True
