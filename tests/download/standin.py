"""A small data set in every shape that it can arrive in, and a stand-in for Kaggle that the real client talks to."""

import io
import json
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from stages.download.__main__ import main

SLUG, VERSION = "owner/tiny-set", 3
PORT = 7777  # where the client looks with KAGGLE_API_ENVIRONMENT=TEST; it cannot be told another


def pack(files, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of path -> bytes, in the order given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def lay_out(files, folder: Path) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def register(**archive):
    """Write data/sources.yaml with the source `tiny`."""
    entry = {"slug": SLUG, "version": VERSION, "title": "Tiny", "licence": "CC0-1.0", "attribution": "Jemand (2020)"} | archive
    Path("data").mkdir(exist_ok=True)
    Path("data/sources.yaml").write_text(yaml.safe_dump({"tiny": {"archive": entry, "folders": {"labels": {"glioma": ["a"]}}}}))


def refusal(name="tiny") -> str:
    """The one line that the stage exits with; nothing may be left behind."""
    with pytest.raises(SystemExit) as exit:
        main(name)
    assert isinstance(exit.value.code, str) and "\n" not in exit.value.code  # a string: printed, exit code 1
    assert not list(Path("data/raw").glob("*"))
    return exit.value.code


class Kaggle(ThreadingHTTPServer):
    """Answers as Kaggle does: DownloadDataset redirects to a file that can be read in ranges."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", PORT), Answer)
        self.bundles = {}  # (slug, version) -> bytes
        self.faults = []  # statuses that the next questions for a download get
        self.transfer_faults = []  # and the statuses of the next transfers
        self.cuts = []  # bytes after which the next transfers break off
        self.hold = None  # an event: transfers stop in the middle until it is set
        self.transfers = []  # the Range of each transfer so far, None for a whole one

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/v1/datasets.DatasetApiService/DownloadDataset"
        slug, version = f"{question['ownerSlug']}/{question['datasetSlug']}", question["datasetVersionNumber"]
        if self.server.faults:
            self.reply(self.server.faults.pop(0))
        elif self.headers.get("Authorization") != "Basic bWU6c2VjcmV0":  # me:secret
            self.reply(401)
        elif (slug, version) not in self.server.bundles:
            self.reply(404)
        else:
            self.reply(302, Location=f"http://localhost:{PORT}/{slug}/{version}/archive.zip?token=x")

    def do_GET(self):
        owner, name, version, _ = self.path.strip("/").split("/")
        data = self.server.bundles[f"{owner}/{name}", int(version)]
        tag = f'"{hash(data)}"'
        wanted = self.headers.get("Range") if self.headers.get("If-Range", tag) == tag else None
        self.server.transfers.append(wanted)
        if self.server.transfer_faults and (status := self.server.transfer_faults.pop(0)) != 200:
            return self.reply(status)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        headers = {"Content-Type": "application/zip", "Accept-Ranges": "bytes", "ETag": tag, "Content-Length": len(data) - start}
        for header, value in (headers | {"Last-Modified": "Fri, 01 Jan 2021 00:00:00 GMT"}).items():
            self.send_header(header, str(value))
        self.end_headers()
        if self.server.cuts:
            self.wfile.write(data[start : start + self.server.cuts.pop(0)])
            self.close_connection = True
        elif self.server.hold and not self.server.hold.is_set():
            self.wfile.write(data[start : start + 2_000_000])
            self.server.hold.wait(60)
        else:
            self.wfile.write(data[start:])

    def reply(self, status, **headers):
        self.send_response(status)
        for header, value in ({"Content-Length": 0, "Retry-After": 7} | headers).items():
            self.send_header(header.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_):
        pass
