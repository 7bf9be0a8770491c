"""A stand-in for Kaggle that the real client talks to, and that fails as it is told."""

import contextlib
import json
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 7777  # where the client looks with KAGGLE_API_ENVIRONMENT=TEST; it cannot be told another
KEY = "key-of-the-stand-in"
ACCOUNT = {"KAGGLE_API_ENVIRONMENT": "TEST", "KAGGLE_USERNAME": "me", "KAGGLE_KEY": KEY, "NO_PROXY": "localhost"}


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
        self.retry_after = 7  # seconds that every refusal asks the client to wait
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
        elif self.headers.get("Authorization") != f"Basic {b64encode(f'me:{KEY}'.encode()).decode()}":
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
            self.close_connection = True
        else:
            self.wfile.write(data[start:])

    def reply(self, status, **headers):
        self.send_response(status)
        for header, value in ({"Content-Length": 0, "Retry-After": self.server.retry_after} | headers).items():
            self.send_header(header.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def serving() -> Iterator[Kaggle]:
    """A stand-in that answers until the end of the block."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):  # another run of the tests may hold the port for a moment
            server = Kaggle()
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"port {PORT} is taken, and the kaggle client knows no other for tests")
        threading.Event().wait(0.2)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
