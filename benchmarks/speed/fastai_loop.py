"""fastai's vision_learner with the data loaders and augmentation of its documentation."""

from fastai.vision.all import Callback, ImageDataLoaders, Resize, ResizeMethod, accuracy, aug_transforms, vision_learner

from benchmarks.speed.task import Stopwatch, read_task


class Lap(Callback):
    def __init__(self, watch: Stopwatch):
        self.watch = watch

    def after_epoch(self):
        self.watch.lap()


def main() -> None:
    task = read_task()
    watch = Stopwatch()
    loaders = ImageDataLoaders.from_folder(
        f"{task.folder}/pictures",
        valid="validation",
        item_tfms=Resize(task.size, method=ResizeMethod.Squish),
        batch_tfms=None if task.frozen else aug_transforms(),
        bs=task.batch_size,
    )
    # train_bn=False: with fastai's default, frozen layers would still be run backwards for their batch norms
    learner = vision_learner(loaders, task.backbone, pretrained=False, metrics=accuracy, train_bn=False, cbs=Lap(watch))
    learner.freeze() if task.frozen else learner.unfreeze()
    watch.lap()
    with learner.no_bar(), learner.no_logging():
        learner.fit(task.epochs, 0.001)
    watch.report()


if __name__ == "__main__":
    main()
