"""The same model in the same precision on random tensors that lie ready in memory: what ours could reach if pictures cost nothing."""

import os
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.speed.ours import write_params
from benchmarks.speed.task import Stopwatch, read_task
from stages.device import pick_device, pick_precision
from stages.model import create_model, freeze, train_mode
from stages.train.cpu import prepare_for_cpu
from stages.train.optim import make_optimizer


def main() -> None:
    task = read_task()
    os.chdir(task.folder)
    params = write_params(task)
    train, validation = (len(list(Path("pictures", role).glob("*/*"))) for role in ("train", "validation"))
    classes = len(list(Path("pictures/train").iterdir()))

    watch = Stopwatch()
    device = pick_device()
    precision = pick_precision(params.train.precision, device)
    model = create_model(task.backbone, classes, image_size=task.size).to(device, memory_format=torch.channels_last)
    freeze(model, params.model.freeze)
    if device.type == "cpu":
        prepare_for_cpu(model, precision)
    optimizer = make_optimizer(model, params.train)
    x = torch.randn(max(train, validation), 3, task.size, task.size, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(classes, [len(x)], device=device)
    autocast = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    watch.lap()
    for _ in range(task.epochs):
        train_mode(model)
        for inputs, labels in zip(x[:train].split(task.batch_size), y[:train].split(task.batch_size), strict=True):
            with autocast:
                loss = F.cross_entropy(model(inputs), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode(), autocast:
            torch.cat([model(inputs) for inputs in x[:validation].split(64)]).cpu()
        watch.lap()
    watch.report()


if __name__ == "__main__":
    main()
