"""A web page on this machine that classifies a picture, as `python -m stages.predict` does. Research software, no medical device.

python -m tools.serve [--host HOST] [--port PORT] [--package FOLDER]; `make serve` installs what it needs. A picture is on disk, in a folder
of this process' own, only until it has been read; it is shown from memory. Nothing is asked of any other machine, here or in the browser.
"""

import argparse
import base64
import os
import re
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from html import escape
from pathlib import Path

from stages.pixels import FORMATS
from stages.predict import package
from stages.predict.predictor import MEGAPIXELS, predict, set_name

FOLDER = tempfile.TemporaryDirectory(prefix="serve-")  # goes when the process ends
tempfile.tempdir = FOLDER.name
os.environ |= {"GRADIO_TEMP_DIR": FOLDER.name, "GRADIO_ANALYTICS_ENABLED": "False"}  # read when Gradio is imported

try:
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
except ModuleNotFoundError as error:
    sys.exit(f"{error.name}: not installed here; `make serve` installs it into .venv/serve and starts the page")

LARGEST = 20 * 2**20  # bytes of an upload
ENVELOPE = 2**16  # bytes that a request may hold beside them
WAITING = 8  # pictures; one more is turned away
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
UNUSED = 60  # seconds until an upload that nobody classified is removed
# Gradio has more: routes that fetch an address, read a file, keep a recording.
ROUTES = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json)|/(assets|static|svelte)/.+"
    r"|/gradio_api/(startup-events|upload|upload_progress|queue/(join|data)|heartbeat/\w+)"
)
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'none'"
CAUTION = "Research software and no medical device: it must not decide about a patient."
CSS = """
.gradio-container { max-width: 46rem !important; margin: 0 auto !important; }
.caution, .warning { border-left: 4px solid #d97706; padding: .25rem .75rem; }
.warning { border-color: #dc2626; }
.result > p { overflow-wrap: anywhere; }
.result table { width: 100%; margin: .75rem 0; border: 0 !important; }
.result caption, .result th { text-align: left; }
.result tr, .result th, .result td { border: 0 !important; padding: .2rem .75rem .2rem 0 !important; font-weight: 400; }
.result td:nth-child(2) { width: 100%; }
.result td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.result .bar { height: .8rem; min-width: 1px; border-radius: 2px; background: var(--color-accent); }
.result img { width: min(100%, 24rem); margin: .75rem 0 .25rem; }
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen; there is no password (default: %(default)s, this machine only)"
    )
    parser.add_argument("--port", type=port, default=7860, help="1 to 65535 (default: %(default)s)")
    parser.add_argument("--package", type=Path, default=package.PACKAGE, help="what `make export` wrote (default: %(default)s)")
    arguments = parser.parse_args()

    loaded = package.load(arguments.package)
    check_host(arguments.host)
    call_nobody(arguments.host)
    for name in PROXIES:  # the page asks itself whether it is there
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the folder goes then, too
    page = build(loaded)
    try:
        _, address, _ = page.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            max_file_size=LARGEST,
            app_kwargs={"middleware": [Middleware(BaseHTTPMiddleware, dispatch=guard)]},
            theme=gr.themes.Default(font="system-ui", font_mono="monospace"),
            css=CSS,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except (OSError, ValueError) as error:  # ValueError: no name of a host, or Gradio does not reach it
        reason = " ".join(str(error).split())
        sys.exit(f"port {arguments.port} of {arguments.host} cannot be had ({reason:.120}); --port and --host take others")
    print(f"{address}\n{CAUTION} Ctrl-C ends it.", flush=True)
    page.block_thread()


def port(text: str) -> int:
    """The number of a port, as argparse takes it."""
    if not (text.isdecimal() and 0 < int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; there are 1 to 65535")
    return int(text)


def check_host(name: str) -> None:
    """Exit with one line where a host has no address."""
    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError) as error:  # UnicodeError: a part of the name is empty or too long
        sys.exit(f"--host: there is no address of {name:.80} ({error})")


def build(loaded: package.Package) -> gr.Blocks:
    """The page: a place to drop a picture, and what the networks say about it."""
    uploads = Path(FOLDER.name).resolve()

    def answer(upload: dict) -> tuple[None, str]:
        file = Path(upload["path"]).resolve()
        if uploads not in file.parents:  # Gradio has looked, too; but what is named here is removed
            raise gr.Error("not an upload")
        try:
            content = file.read_bytes()
        finally:
            file.unlink(missing_ok=True)
            with suppress(OSError):  # the same picture may have come a second time
                file.parent.rmdir()
        return None, classify(loaded, upload["orig_name"] or file.name, content)

    with gr.Blocks(title="Brain MRI classification", analytics_enabled=False, delete_cache=(UNUSED, UNUSED)) as page:
        gr.HTML(f'<h1>Brain MRI classification</h1><p class="caution"><strong>{CAUTION}</strong></p>')
        picture = gr.File(label=f"A picture: {', '.join(FORMATS)}, up to {LARGEST // 2**20} MB and {MEGAPIXELS} megapixels", height=180)
        result = gr.HTML()
        picture.upload(answer, picture, [picture, result], preprocess=False, show_progress_on=result, api_visibility="private")
    return page.queue(max_size=WAITING, default_concurrency_limit=1)


def classify(loaded: package.Package, name: str, content: bytes) -> str:
    """What the page says about a picture, HTML with its Grad-CAM inside."""
    with tempfile.TemporaryDirectory() as folder:
        [row] = predict(loaded, [(name, content)], Path(folder))
        if row["error"]:
            return f'<section class="result" role="status"><p class="warning">{escape(name)}: {escape(row["error"])}</p></section>'
        overlay = base64.b64encode(Path(row["gradcam"]).read_bytes()).decode()
    classes = sorted(loaded.about["classes"], key=lambda label: -row[f"p_{label}"])
    bars = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td><div class="bar" style="width: {row[f"p_{label}"]:.1%}"></div></td>'
        f"<td>{row[f'p_{label}']:.1%}</td></tr>"
        for label in classes
    )
    sets = "".join(
        f"<p>{float(coverage):.0%} set: {escape(row[set_name(coverage)].replace('|', ', '))}</p>" for coverage in loaded.thresholds
    )
    warning = (
        f'<p class="warning"><strong>Warning:</strong> {escape(row["warning"])}; the answer means little.</p>' if row["warning"] else ""
    )
    return (
        f'<section class="result" role="status"><p>{escape(name)}</p><h2>{escape(row["class"])}</h2>{warning}'
        f"<table><caption>Probabilities</caption>{bars}</table>{sets}<p>Plane: {escape(row['plane'] or 'unknown')}</p>"
        f'<figure><img src="data:image/webp;base64,{overlay}" alt="The picture under its Grad-CAM for {escape(row["class"])}">'
        f"<figcaption>What the networks looked at (Grad-CAM, mean of {len(loaded.network.models)}): the brighter, the more.</figcaption></figure>"
        f"<p><strong>{CAUTION}</strong></p></section>"
    )


async def guard(request: Request, call_next) -> Response:
    """Turns away what the page does not need and what is too large, and keeps the browser from every other machine."""
    length = request.headers.get("content-length", "")
    if not ROUTES.fullmatch(request.url.path):
        return PlainTextResponse("not here", 404)
    if request.method == "POST" and not (length.isdecimal() and int(length) <= LARGEST + ENVELOPE):
        return PlainTextResponse("too large", 413)
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def call_nobody(host: str) -> None:
    """Let this process speak to no machine but its own: Gradio would fetch an address that a visitor names."""
    own = {None, "", "localhost", "127.0.0.1", "::1", host}

    def refuse(event: str, arguments: tuple) -> None:
        if event in ("socket.getaddrinfo", "socket.gethostbyname"):
            called = arguments[0]
        elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
            called = arguments[1][0]
        else:
            return
        if called not in own:
            raise PermissionError(f"{called}: this page calls nobody")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    main()
