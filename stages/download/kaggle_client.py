"""The download from Kaggle, by Kaggle's own client.

The client resumes a partial download, on a retry and in a later run, and shows its progress. It lacks timeouts, and
retries of the first request: those are added here.
"""

import contextlib
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from kagglesdk import KaggleClient
from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

from stages.download.archive import BadArchive, Files, open_zip, require_space
from stages.sources import Archive

CREDENTIALS = "create a token at https://www.kaggle.com/settings/api and set KAGGLE_API_TOKEN to it (or `kaggle auth login`)"
SILENCE = 60  # seconds without a byte after which a connection counts as lost
CONNECTING = 15  # seconds for a connection, through a proxy or not
LONGEST_WAIT = 60  # seconds that a server may ask to wait; for more, the next run is the better place
ADVICE = {
    401: f"the credentials are refused: {CREDENTIALS}",
    403: "access is forbidden: accept the terms of the data set on its page, and verify the account",
    404: "there is no such version: check archive.slug and archive.version in data/sources.yaml",
}


class Patience(Retry):
    """Gives up, with the server's answer, where that asks for a longer wait than LONGEST_WAIT."""

    def increment(self, method=None, url=None, response=None, error=None, _pool=None, _stacktrace=None):
        if response is not None and (self.get_retry_after(response) or 0) > LONGEST_WAIT:
            raise MaxRetryError(_pool, url, "asks for too long a wait")
        return super().increment(method, url, response, error, _pool, _stacktrace)


class PatientAdapter(HTTPAdapter):
    """Repeats a request after passing faults, with backoff, and gives up on a silent server."""

    def __init__(self, retries: int = 4):
        patience = Patience(
            retries,
            read=min(retries, 2),
            backoff_factor=1,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )
        super().__init__(max_retries=patience)

    def send(self, request, **options):
        return super().send(request, **(options | {"timeout": (min(CONNECTING, SILENCE), SILENCE)}))


@contextmanager
def kaggle_files(archive: Archive, scratch: Path) -> Iterator[Files]:
    """The files of the archive at its pinned version, downloaded into scratch; a damaged download is deleted."""
    path = scratch / f"{archive.slug.replace('/', '-')}-{archive.version}.zip"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        _download(archive, path)
        with open_zip(path) as files:
            yield files
    except BadArchive:
        path.unlink(missing_ok=True)
        raise


def _download(archive: Archive, path: Path) -> None:
    """Download the zip to path, resuming what is there; exits with one line on every fault, which keeps what has arrived."""
    what = f"{archive.slug} version {archive.version}"
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = archive.slug.split("/")
    request.dataset_version_number = archive.version
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # one line at the end, not one a retry
    try:
        api, client = _sign_in()
        with client as kaggle:
            for scheme in ("https://", "http://"):
                kaggle.http_client()._session.mount(scheme, PatientAdapter())
            response = kaggle.datasets.dataset_api_client.download_dataset(request)
            if api.download_needed(response, str(path)):
                have = path.stat().st_size if path.exists() else 0
                require_space(path.parent, 2 * int(response.headers.get("Content-Length", 0)) - have)  # the zip and its canonical copy
                _transfer(api, response, path, kaggle)
    except requests.HTTPError as error:
        status, wait = error.response.status_code, error.response.headers.get("Retry-After")  # type: ignore[union-attr]
        advice = ADVICE.get(status, f"try again later; it asks to wait {_duration(wait)}" if wait else "try again later")
        raise SystemExit(f"{what}: Kaggle answers {status}; {advice} (https://www.kaggle.com/datasets/{archive.slug})") from None
    except OSError as error:  # requests' own are among them
        raise SystemExit(
            f"{what}: the download broke off ({_reason(error)}); check the network, HTTPS_PROXY and the disk and run again "
            "to go on from there, or set BRAIN_MRI_MIRROR to a folder that has the files"
        ) from None


def _reason(error: OSError) -> str:
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no answer within {SILENCE} s"
    return error.strerror or type(error).__name__


def _duration(wait: str) -> str:
    return f"{wait} s" if wait.isdigit() else f"until {wait}"


def _transfer(api, response, path: Path, kaggle: KaggleClient) -> None:
    try:
        api.download_file(response, str(path), kaggle.http_client(), quiet=not sys.stderr.isatty(), resume=True, timeout=SILENCE)
    except OSError:
        raise
    except ValueError as error:  # the size is not the announced one: an error page in its stead, which must not be resumed
        raise BadArchive(f"{path.name}: Kaggle sent something else than announced ({error}); run again") from None


def _sign_in():
    """Kaggle's API, authenticated, and an HTTP client for it; exits without credentials, or with those that it cannot use."""
    with contextlib.redirect_stdout(io.StringIO()):
        with _sessions(_Offline):  # it authenticates on import, whatever comes of it, without a limit of time
            from kaggle import api
        try:
            with _sessions(lambda: PatientAdapter(retries=1)):
                api.authenticate()
        except requests.RequestException as error:
            if isinstance(error, ValueError) and not isinstance(error, requests.JSONDecodeError):
                raise SystemExit(_unusable(error)) from None
            raise
        except SystemExit:
            odd = _what_is_odd(Path(api.config))
            reason = f"{odd}; mend it, or {CREDENTIALS}" if odd else f"no Kaggle credentials: {CREDENTIALS}"
            raise SystemExit(f"{reason}, or set BRAIN_MRI_MIRROR to a folder that has the files") from None
        except Exception as error:  # whatever its readers of files and answers bring up
            raise SystemExit(_what_is_odd(Path(api.config)) or _unusable(error)) from None
    # Not api.build_kaggle_client(), which is deaf to KAGGLE_API_ENVIRONMENT.
    user, key, token = (api.config_values.get(name) for name in (api.CONFIG_NAME_USER, api.CONFIG_NAME_KEY, api.CONFIG_NAME_TOKEN))
    if not all(str(value or "").isascii() and str(value or "").isprintable() for value in (user, key, token)):
        raise SystemExit(_unusable(ValueError("letters that no key has, such as typographic quotes")))
    return api, KaggleClient(username=user, password=key, api_token=token)


class _Offline(HTTPAdapter):
    def send(self, request, **options):
        raise requests.ConnectionError("not yet")


@contextmanager
def _sessions(adapter) -> Iterator[None]:
    """Every session that is made inside speaks through such an adapter."""
    begin = requests.Session.__init__

    def begin_with_adapter(session) -> None:
        begin(session)
        for scheme in ("https://", "http://"):
            session.mount(scheme, adapter())

    requests.Session.__init__ = begin_with_adapter  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        requests.Session.__init__ = begin  # type: ignore[method-assign]


def _unusable(error: Exception) -> str:
    message = " ".join(str(error).split())
    return f"the Kaggle credentials cannot be used ({type(error).__name__}: {message:.120}): {CREDENTIALS}"


def _what_is_odd(file: Path) -> str:
    """What keeps a kaggle.json from being read; empty where nothing does, or where it is not there."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{file}: {error.strerror}"
    except UnicodeDecodeError:
        return f"{file} is not in UTF-8 (PowerShell's > writes UTF-16); save it as UTF-8"
    except ValueError as error:
        return f"{file} is no JSON as Kaggle's client takes it ({error}); save it as Kaggle made it, in UTF-8 without a BOM"
    lacking = [name for name in ("username", "key") if not isinstance(held, dict) or not held.get(name)]
    return f"{file} has no {' and no '.join(lacking)}" if lacking else ""
