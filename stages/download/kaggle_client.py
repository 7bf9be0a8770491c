"""The download from Kaggle, by Kaggle's own client.

The client resumes a partial download, on a retry and in a later run, and shows its progress. It lacks timeouts, and
retries of the first request: those are added here.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from kagglesdk import KaggleClient
from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from stages.download.archive import BadArchive, Files, open_zip, require_space
from stages.sources import Archive

CREDENTIALS = "create a token at https://www.kaggle.com/settings/api and set KAGGLE_API_TOKEN to it (or `kaggle auth login`)"
SILENCE = 60  # seconds without a byte after which a connection counts as lost
ADVICE = {
    401: f"the credentials are refused: {CREDENTIALS}",
    403: "access is forbidden: accept the terms of the data set on its page, and verify the account",
    404: "there is no such version: check archive.slug and archive.version in data/sources.yaml",
}


class PatientAdapter(HTTPAdapter):
    """Repeats a request after passing faults, with backoff, and gives up on a silent server."""

    def __init__(self):
        super().__init__(
            max_retries=Retry(4, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None, raise_on_status=False)
        )

    def send(self, request, **options):
        return super().send(request, **(options | {"timeout": SILENCE}))


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
                api.download_file(response, str(path), kaggle.http_client(), quiet=not sys.stderr.isatty(), resume=True, timeout=SILENCE)
    except requests.HTTPError as error:
        status = error.response.status_code  # type: ignore[union-attr]
        page = f"https://www.kaggle.com/datasets/{archive.slug}"
        raise SystemExit(f"{what}: Kaggle answers {status}; {ADVICE.get(status, 'try again later')} ({page})") from None
    except OSError as error:  # requests' own are among them
        raise SystemExit(
            f"{what}: the download broke off ({error.strerror or type(error).__name__}); check the network and the disk and run again "
            "to go on from there, or set BRAIN_MRI_MIRROR to a folder that has the files"
        ) from None
    except ValueError as error:  # the size is not the announced one: an error page in its stead, which must not be resumed
        raise BadArchive(f"{what}: Kaggle sent something else than announced ({error}); run again") from None


def _sign_in():
    """Kaggle's API, authenticated, and an HTTP client for it; exits without credentials."""
    with contextlib.redirect_stdout(io.StringIO()):  # it authenticates on import, and prints a page of help if it cannot
        from kaggle import api

        try:
            api.authenticate()
        except SystemExit:
            raise SystemExit(f"no Kaggle credentials: {CREDENTIALS}, or set BRAIN_MRI_MIRROR to a folder that has the files") from None
    # Not api.build_kaggle_client(), which is deaf to KAGGLE_API_ENVIRONMENT.
    user, key, token = (api.config_values.get(name) for name in (api.CONFIG_NAME_USER, api.CONFIG_NAME_KEY, api.CONFIG_NAME_TOKEN))
    return api, KaggleClient(username=user, password=key, api_token=token)
