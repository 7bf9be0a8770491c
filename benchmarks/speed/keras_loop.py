"""Keras 3 on PyTorch: image_dataset_from_directory and fit, as in its tutorials; the network is the same one, wrapped."""

from pathlib import Path

import keras
import timm
from keras import layers

from benchmarks.speed.task import Stopwatch, read_task


def main() -> None:
    task = read_task()
    watch = Stopwatch()
    train, validation = (
        keras.utils.image_dataset_from_directory(
            f"{task.folder}/pictures/{role}", image_size=(task.size, task.size), batch_size=task.batch_size, seed=0, format="grain"
        )
        for role in ("train", "validation")
    )

    backbone = timm.create_model(task.backbone, num_classes=0).requires_grad_(not task.frozen)
    classes = len(list(Path(task.folder, "pictures/train").iterdir()))
    inputs = x = keras.Input((task.size, task.size, 3))
    if not task.frozen:
        x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(x))
    x = layers.Permute((3, 1, 2))(layers.Rescaling(1 / 255)(x))
    wrapped = layers.TorchModuleWrapper(backbone, output_shape=(None, backbone.num_features))
    x = wrapped(x, training=False) if task.frozen else wrapped(x)
    model = keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    watch.lap()
    lap = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: watch.lap())
    model.fit(train, validation_data=validation, epochs=task.epochs, callbacks=[lap], verbose=0)
    watch.report()


if __name__ == "__main__":
    main()
