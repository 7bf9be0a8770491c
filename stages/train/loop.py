"""The training of one fold from one seed."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from stages.model import train_mode
from stages.params import Train
from stages.train.checkpoint import Checkpoints
from stages.train.data import Images, Rows
from stages.train.optim import learning_rate, make_optimizer

if TYPE_CHECKING:
    from stages.train.frozen import Activations


@dataclass
class Progress:
    """One dict an epoch, and the weights (on the CPU) of the epoch that is kept so far; with ema_epochs, their running mean there."""

    history: list[dict] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)


def train_fold(
    model: nn.Module,
    images: "Images | Activations",
    train: Rows,
    validation: Rows,
    params: Train,
    fold: int,
    seed: int,
    precision: torch.dtype,
    checkpoints: Checkpoints | None,
    line: int = 0,
) -> Progress:
    """Train a model, which is already on the device, from the last checkpoint of this fold and seed if there is one.

    Without checkpoints none are read or written.
    seed: one of params.seeds; line: of the terminal, for the progress bar, where several are trained side by side.

    Raises SystemExit when the loss is no longer finite.
    """
    progress = Progress()
    optimizer = make_optimizer(model, params)
    average = running_mean(model, params.ema_epochs * len(batches_of(torch.arange(len(train.rows)), params.batch_size)))
    parts = {"model": model, "optimizer": optimizer, "average": average}
    if checkpoints:
        checkpoints.resume(fold, seed, parts, progress)

    for epoch in range(len(progress.history), params.epochs):
        # Every epoch draws from its own stream, so that a resumed run goes on with the same numbers.
        stream = int(np.random.SeedSequence([seed, fold, epoch]).generate_state(1)[0])
        torch.manual_seed(stream)
        batches = batches_of(_draw(train, torch.Generator().manual_seed(stream)), params.batch_size)

        train_mode(model)
        total = 0.0
        name = f"fold {fold} seed {seed} epoch {epoch + 1}/{params.epochs}"
        bar = tqdm(batches, desc=name, unit="batch", leave=False, disable=None, position=line)
        for number, batch in enumerate(bar):
            rate = learning_rate(params, epoch * len(batches) + number, len(batches))
            for group in optimizer.param_groups:
                group["lr"] = rate
            x = images.augmented(train.rows[batch], params.augment, torch.Generator().manual_seed(stream + number))
            y = train.labels[batch].to(images.device)
            with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
                loss = F.cross_entropy(_run(model, x, params), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
            total += loss.detach() * len(batch)
        train_loss = float(total) / sum(map(len, batches))
        if not torch.isfinite(torch.tensor(train_loss)):
            raise SystemExit(
                f"Training diverged: the loss of fold {fold}, seed {seed}, epoch {epoch + 1} is {train_loss}. "
                f"Lower train.lr (now {params.lr:g})."
            )

        scores = _validate(average.module, images, validation, precision)
        if not math.isfinite(scores["validation_loss"]):
            raise SystemExit(
                f"Training diverged: the validation loss of fold {fold}, seed {seed}, epoch {epoch + 1} is {scores['validation_loss']}. "
                f"Lower train.lr (now {params.lr:g})."
            )
        progress.history.append({"epoch": epoch + 1, "train_loss": train_loss, **scores, "learning_rate": rate})
        best = _best(progress.history)
        if _kept(progress.history, params.keep) == epoch:
            progress.kept = cpu_state(average.module)
        if checkpoints:
            checkpoints.save(fold, seed, parts, progress)
        tqdm.write(
            f"{name}: loss {train_loss:.4f}, validation loss {scores['validation_loss']:.4f}, "
            f"macro-F1 {scores['validation_macro_f1']:.4f}" + (" (best)" if best == epoch else "")
        )
    for number, epoch in enumerate(progress.history):
        epoch["kept"] = number == _kept(progress.history, params.keep)
    return progress


def batches_of(order: Tensor, size: int) -> list[Tensor]:
    """Parts of the order of so many pictures; one that would be left alone joins those before it: a batch norm has no deviation of one."""
    parts = list(order.split(size))
    if size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _run(model: nn.Module, x: Tensor | list[Tensor], params: Train) -> Tensor:
    try:
        return model(x)
    except ValueError as error:
        if "Expected more than 1 value per channel" not in str(error):
            raise
        raise SystemExit(
            f"train.batch_size: this network's batch norm needs more than the {len(x)} picture(s) of a batch (train.batch_size is "
            f"{params.batch_size}) where its map is down to one cell; raise it, or model.image_size."
        ) from None


def running_mean(model: nn.Module, steps: float) -> AveragedModel:
    """The exponential moving average of a model's weights and buffers, over about so many steps; with less than one, the last weights."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / max(steps, 1)), use_buffers=True)


def cpu_state(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's weights on the CPU, as safetensors takes them."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()}


def _draw(rows: Rows, generator: torch.Generator) -> Tensor:
    # Equal weights: every picture once an epoch. Otherwise as many draws, with replacement, by weight.
    if (rows.weights == rows.weights[0]).all():
        return torch.randperm(len(rows.rows), generator=generator)
    return torch.multinomial(rows.weights, len(rows.rows), replacement=True, generator=generator)


@torch.inference_mode()
def _validate(model: nn.Module, images: "Images | Activations", rows: Rows, precision: torch.dtype) -> dict[str, float]:
    model.eval()
    with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
        logits = torch.cat([model(images.plain(batch)).float() for batch in rows.rows.split(64)]).cpu()
    return score(logits, rows.labels)


def score(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The columns of the history that are about the validation pictures; logits [N, K] and labels [N] on the CPU."""
    predicted = logits.argmax(1)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    return {
        "validation_loss": float(F.cross_entropy(logits, labels)),
        "validation_accuracy": float((predicted == labels).float().mean()),
        "validation_macro_precision": float(precision),
        "validation_macro_recall": float(recall),
        "validation_macro_f1": float(f1),
    }


def _best(history: list[dict]) -> int:
    # The validation part is small and ties are common: the lower loss decides.
    return max(range(len(history)), key=lambda n: (history[n]["validation_macro_f1"], -history[n]["validation_loss"]))


def _kept(history: list[dict], keep: str) -> int:
    return _best(history) if keep == "best" else len(history) - 1
