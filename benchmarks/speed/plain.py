"""The loop of the documents and of PyTorch's transfer learning tutorial: ImageFolder, Pillow, four workers, float32."""

import os
from tempfile import TemporaryDirectory

import timm
import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks.speed.task import Stopwatch, read_task

WORKERS = 4


def main() -> None:
    task = read_task()
    watch = Stopwatch()
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    to_input = [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    plain = [transforms.Resize((task.size, task.size))]
    augmented = [transforms.RandomResizedCrop(task.size), transforms.RandomHorizontalFlip()]
    changes = {"train": plain if task.frozen else augmented, "validation": plain}
    pictures = {
        phase: datasets.ImageFolder(f"{task.folder}/pictures/{phase}", transforms.Compose(changes[phase] + to_input)) for phase in changes
    }
    loaders = {
        phase: DataLoader(dataset, batch_size=task.batch_size, shuffle=True, num_workers=WORKERS) for phase, dataset in pictures.items()
    }

    model = timm.create_model(task.backbone, num_classes=len(pictures["train"].classes))
    if task.frozen:
        for parameter in model.parameters():
            parameter.requires_grad = False
        for parameter in model.get_classifier().parameters():
            parameter.requires_grad = True
    model = model.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.001)

    with TemporaryDirectory() as folder:
        best = 0.0
        watch.lap()
        for _ in range(task.epochs):
            for phase in ("train", "validation"):
                model.train(phase == "train")
                corrects = 0
                for inputs, labels in loaders[phase]:
                    inputs, labels = inputs.to(device), labels.to(device)
                    optimizer.zero_grad()
                    with torch.set_grad_enabled(phase == "train"):
                        outputs = model(inputs)
                        loss = criterion(outputs, labels)
                        if phase == "train":
                            loss.backward()
                            optimizer.step()
                    corrects += torch.sum(outputs.argmax(1) == labels).item()
            accuracy = corrects / len(pictures["validation"])
            if accuracy > best:
                best = accuracy
                torch.save(model.state_dict(), os.path.join(folder, "best.pt"))
            watch.lap()
    watch.report()


if __name__ == "__main__":
    main()
