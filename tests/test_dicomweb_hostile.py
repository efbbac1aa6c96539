"""A DICOMweb server whose every byte is hostile: no answer takes more than its bound of memory and time."""

import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gradcam_core import DicomwebError, DicomwebServer, dicomweb_server, fetch_series, list_series, search_studies
from gradcam_core import store_objects as store
from gradcam_core.dicomweb import fetching, searching
from gradcam_core.dicomweb.multipart import joined, parts_of
from tests.dicom_sources import shipped

Answer = Callable[[BaseHTTPRequestHandler], Any]
CT_STUDY, CT_SERIES = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322", "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"
CT_INSTANCE = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
JSON, MULTIPART = "application/dicom+json", 'multipart/related; type="application/dicom"; boundary=x'


class Hostile:
    """A server on this machine that gives the answer of the test, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda handler: None
        self.asked: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, dict(self.headers)))
                outer.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def log_message(self, *arguments: Any) -> None: ...

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: Any) -> None: ...  # the client goes away in the middle, as it should

        self.http = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def server(self) -> DicomwebServer:
        server = dicomweb_server({"LIGHTBOX_DICOMWEB": f"http://127.0.0.1:{self.http.server_port}/web"})
        assert server is not None
        return server

    def says(self, kind: str, content: bytes, status: int = 200, **headers: str) -> None:
        more = {name.replace("_", "-"): value for name, value in headers.items()}

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **more}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)

        self.answer = answer


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    running = Hostile()
    yield running
    running.http.shutdown()
    running.http.server_close()


def item(**values: Any) -> dict[str, Any]:
    """A study or series in DICOM JSON, by tags."""
    return {tag.removeprefix("x"): {"vr": "LO", "Value": [value]} for tag, value in values.items()}


def studies_of(hostile: Hostile, items: Any) -> Any:
    hostile.says(JSON, json.dumps(items).encode())
    return search_studies(hostile.server)


def refuses(call: Callable[[], Any], words: str, within_s: float = 3) -> None:
    start = time.monotonic()
    with pytest.raises(DicomwebError, match=words):
        call()
    assert time.monotonic() - start < within_s


def test_an_endless_answer_ends_at_its_bound(hostile: Hostile) -> None:
    sent = [0]

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", JSON)
        handler.end_headers()
        while True:
            sent[0] += handler.wfile.write(b"[" * 100_000)

    hostile.answer = endless
    refuses(lambda: search_studies(hostile.server), "larger than 4 MB")
    assert sent[0] < 4 * searching.LARGEST_ANSWER


def test_a_stated_length_is_refused_before_it_is_read(hostile: Hostile) -> None:
    hostile.says(JSON, b"[]", Content_Length=str(10**15))
    refuses(lambda: search_studies(hostile.server), "larger than 4 MB")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n["])
def test_an_answer_that_drips_is_cut_off(hostile: Hostile, start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SEARCH_S", 0.4)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start or b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.05)

    hostile.answer = drip
    refuses(lambda: search_studies(hostile.server), "did not answer in time")


@pytest.mark.parametrize(
    ("kind", "content", "status", "headers", "words"),
    [
        ("text/html", b"<h1>Welcome</h1>", 200, {}, "no DICOMweb service"),
        ("application/dicom+json", b"{[", 200, {}, "cannot be read"),
        ("application/dicom+json", b"[" * 1_000_000, 200, {}, "cannot be read"),
        ("application/dicom+json", b"\xff\xfe\xff", 200, {}, "cannot be read"),
        ("application/dicom+json", b"[]", 200, {"Content_Encoding": "gzip"}, "compressed"),
        ("application/dicom+json", b"[", 200, {"Content_Length": "99"}, "cut off"),
        ("text/plain", b"no", 403, {}, "refused the program's credentials"),
        ("text/plain", b"no", 503, {}, "has a fault"),
        ("text/plain", b"no", 418, {}, "refused the request"),
    ],
)
def test_what_is_no_list_of_studies_is_said_in_words(
    hostile: Hostile, kind: str, content: bytes, status: int, headers: dict[str, str], words: str
) -> None:
    hostile.says(kind, content, status, **headers)
    refuses(lambda: search_studies(hostile.server), words)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(hostile: Hostile, status: int) -> None:
    elsewhere = Hostile()
    hostile.says("text/plain", b"", status, Location=f"http://127.0.0.1:{elsewhere.http.server_port}/web/studies")
    refuses(lambda: search_studies(hostile.server), "leads to another address")
    refuses(lambda: store(hostile.server, [("x", shipped("CT_small.dcm"))]), "leads to another address")
    elsewhere.http.shutdown()
    elsewhere.http.server_close()
    assert not elsewhere.asked


def test_more_studies_than_asked_for_are_cut(hostile: Hostile) -> None:
    studies, more = studies_of(hostile, [item(x0020000D=f"1.2.{place}") for place in range(20_000)])
    assert (len(studies), more) == (searching.MOST_STUDIES, True)
    assert "limit=101" in hostile.asked[0][0]


@pytest.mark.parametrize(
    "uid",
    ["../../admin", "1.2/../3", "1.2?x=1", "1.2#", "1." * 40, "", "1..2", "1.2\n", " 1.2", 12, None, {"a": 1}, "١.٢"],
)
def test_no_identifier_that_breaks_the_grammar_is_taken(hostile: Hostile, uid: Any) -> None:
    studies, _ = studies_of(hostile, [item(x0020000D=uid), item(x0020000D="1.2.3")])
    assert {study.uid for study in studies} - {"12", "1.2"} == {"1.2.3"}
    if isinstance(uid, str):
        refuses(lambda: list_series(hostile.server, uid), "not the identifier")
        refuses(lambda: fetch_series(hostile.server, "1.2", uid), "not the identifier")
    assert len(hostile.asked) == 1


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, "a\r\nb\x00\x1b[31mc", "\u202egnp.exe", {"Alphabetic": "n" * 9999}, {"Alphabetic": ["a"]}, [[]]],
)
def test_texts_are_one_short_line(hostile: Hostile, value: Any) -> None:
    ((study,), _) = studies_of(hostile, [item(x0020000D="1.2", x00100010=value, x00081030=value, x00080020=value)])
    for text in (study.patient, study.description, study.date):
        assert len(text) <= searching.LONGEST_TEXT
        assert text.isprintable()


@pytest.mark.parametrize(
    "items", [None, 3, "x", [None, 3, [], "x"], {}, [{"0020000D": 3}], [{"0020000D": {"Value": 3}}]]
)
def test_other_json_gives_no_studies(hostile: Hostile, items: Any) -> None:
    assert studies_of(hostile, items) == ((), False)


@pytest.mark.parametrize("criterion", ["a\\b", "a\nb", "x" * 65, "a\x00"])
def test_what_is_searched_for_is_checked(hostile: Hostile, criterion: str) -> None:
    refuses(lambda: search_studies(hostile.server, patient_id=criterion), "cannot be searched for")
    refuses(lambda: search_studies(hostile.server, date="yesterday"), "date is not understood")
    assert not hostile.asked


def test_a_criterion_cannot_add_others(hostile: Hostile) -> None:
    hostile.says(JSON, b"[]")
    search_studies(hostile.server, patient_id="1&limit=9#é%20 x")
    assert hostile.asked[0][0].startswith("/web/studies?PatientID=1%26limit%3D9%23%C3%A9%2520%20x&")


CT_PART = b"Content-Type: application/dicom\r\n\r\n" + shipped("CT_small.dcm")


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("text/html", b"<h1>", "something else"),
        (JSON, b"[]", "something else"),
        (MULTIPART, b"", "cut off"),
        (MULTIPART, b"--x\r\n" + CT_PART, "cut off"),
        (MULTIPART, b"--x\r\n" + CT_PART + b"\r\n--x\r\n" + CT_PART[:99], "cut off"),
        (MULTIPART, b"--x\r\nno end of headers" + b"a" * 20_000 + b"\r\n--x--", "cut off"),
        (MULTIPART, b"--x--", "does not have this series"),
        (MULTIPART, b"\r\n--x\r\n\r\n" * 3000 + b"--x--", "more than 2,000"),
        (MULTIPART, b"--x\r\n\r\nnothing\r\n--x--", "something else"),
        (
            MULTIPART,
            b"--x\r\n" + CT_PART + b"\r\n--x\r\n\r\n" + shipped("MR_small.dcm") + b"\r\n--x--",
            "something else",
        ),
        (MULTIPART.removesuffix("x"), b"--x\r\n" + CT_PART + b"\r\n--x--", "cut off"),
        (MULTIPART.partition("; boundary")[0], b"--x\r\n" + CT_PART + b"\r\n--x--", "cut off"),
        ("application/dicom", shipped("MR_small.dcm"), "something else"),
    ],
    ids=range(13),
)
def test_what_is_not_the_series_is_refused(hostile: Hostile, kind: str, content: bytes, words: str) -> None:
    hostile.says(kind, content)
    refuses(lambda: fetch_series(hostile.server, CT_STUDY, CT_SERIES), words)


def test_sound_oddities_are_read(hostile: Hostile) -> None:
    ct = shipped("CT_small.dcm")
    hostile.says("Application/DICOM ", ct)  # one file without parts
    assert fetch_series(hostile.server, CT_STUDY, CT_SERIES) == (ct,)
    hostile.says('Multipart/Related;boundary="a b"', b"hello\r\n--a b  \r\n" + CT_PART + b"\r\n--a b-- \r\nbye")
    assert fetch_series(hostile.server, CT_STUDY, CT_SERIES) == (ct,)
    hostile.says(JSON, json.dumps(item(x0020000D="1.2")).encode())  # a data set instead of a list
    assert len(search_studies(hostile.server)[0]) == 1
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = head + b"1\r\n[\r\n1\r\n]\r\n0\r\n\r\n"
    hostile.answer = lambda handler: handler.wfile.write(chunks)
    assert search_studies(hostile.server) == ((), False)
    hostile.says("text/plain", b"", 204)
    assert search_studies(hostile.server) == ((), False)


def test_a_series_that_is_too_large_is_refused(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST_SERIES", 30_000)
    hostile.says("application/dicom", shipped("CT_small.dcm"))
    refuses(lambda: fetch_series(hostile.server, CT_STUDY, CT_SERIES), "larger than 0 MB")


def test_parts_come_back_as_they_were_joined() -> None:
    contents = (b"", b"\r\n--", b"a\r\n\r\nb\r\n", bytes(range(256)))
    assert parts_of(*joined(contents, "application/dicom"), 4) == contents


@pytest.mark.parametrize(
    ("status", "report", "stored", "reason"),
    [
        (200, {"00081199": {"Value": [item(x00081155=CT_INSTANCE)]}}, True, ""),
        (409, {"00081198": {"Value": [item(x00081155=CT_INSTANCE, x00081197=0x0122)]}}, False, "of this kind"),
        (202, {"00081198": {"Value": [item(x00081155=CT_INSTANCE, x00081197=0xA701)]}}, False, "no room"),
        (202, {"00081198": {"Value": [item(x00081155=CT_INSTANCE, x00081197=0xC123)]}}, False, "cannot understand"),
        (202, {"00081198": {"Value": [item(x00081155=CT_INSTANCE, x00081197=0x7777)]}}, False, "reason is 7777"),
        (202, {"00081198": {"Value": [item(x00081155=CT_INSTANCE, x00081197="x")]}}, False, "no reason"),
        (200, {"00081199": {"Value": [item(x00081155="1.2.3")]}}, False, "does not say"),
        (200, {}, False, "does not say"),
        (200, [3], False, "does not say"),
    ],
)
def test_only_what_the_server_names_as_stored_is_stored(
    hostile: Hostile, status: int, report: Any, stored: bool, reason: str
) -> None:
    hostile.says(JSON, json.dumps(report).encode(), status)
    result = store(hostile.server, [("one.dcm", shipped("CT_small.dcm"))])
    assert result.stored == (("one.dcm",) if stored else ())
    assert [(name, reason in words) for name, words in result.failed] == ([] if stored else [("one.dcm", True)])
    assert hostile.asked[0][1]["Accept"] == JSON


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"": "http://name:secret@host/x"}, "contains a name or password"),
        ({"": "ftp://host/x"}, "not understood"),
        ({"": "host:8042/x"}, "not understood"),
        ({"": "http://"}, "not understood"),
        ({"": "http://host:99999/"}, "not understood"),
        ({"": "http://host/x?y=z"}, "not understood"),
        ({"": "http://a b/x"}, "not understood"),
        ({"": "http://host", "_USER": "a"}, "without a password"),
        ({"": "http://host", "_USER": "a:b", "_SECRET": "c"}, "signs that it cannot have"),
        ({"": "http://host", "_SECRET": "two words"}, "signs that it cannot have"),
        ({"": "http://host", "_SECRET": "a\r\nX: y"}, "signs that it cannot have"),
        ({"": "http://host", "_SECRET_FILE": "/does/not/exist"}, "cannot be read"),
        ({"": "http://host", "_CA": "/does/not/exist"}, "does not exist"),
    ],
)
def test_wrong_settings_are_said_without_repeating_them(settings: dict[str, str], words: str) -> None:
    with pytest.raises(DicomwebError, match=words) as error:
        dicomweb_server({f"LIGHTBOX_DICOMWEB{name}": value for name, value in settings.items()})
    assert "secret@" not in str(error.value)


def test_the_secret_may_be_in_a_file_and_is_a_token_without_a_user(hostile: Hostile, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc.def\n")
    address = f"http://127.0.0.1:{hostile.http.server_port}/web/"
    server = dicomweb_server({"LIGHTBOX_DICOMWEB": address, "LIGHTBOX_DICOMWEB_SECRET_FILE": str(tmp_path / "token")})
    assert server is not None
    hostile.says(JSON, b"[]")
    search_studies(server)
    assert hostile.asked[0][1]["Authorization"] == "Bearer abc.def"
    assert dicomweb_server({}) is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="No openssl to make a certificate with.")
def test_a_certificate_is_checked_and_the_owners_own_is_taken(hostile: Hostile, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    hostile.http.socket = context.wrap_socket(hostile.http.socket, server_side=True)
    hostile.says(JSON, b"[]")

    def search(host: str, **more: str) -> Any:
        address = f"https://{host}:{hostile.http.server_port}/web"
        server = dicomweb_server({"LIGHTBOX_DICOMWEB": address, **more})
        assert server is not None
        return search_studies(server)

    own = {"LIGHTBOX_DICOMWEB_CA": str(certificate)}
    assert search("localhost", **own) == ((), False)
    refuses(lambda: search("localhost"), "certificate is not trusted")
    refuses(lambda: search("127.0.0.1", **own), "certificate is not trusted")
    refuses(lambda: search("localhost", LIGHTBOX_DICOMWEB_CA=str(key)), "cannot be read")
