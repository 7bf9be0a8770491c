"""One cell of the leaderboard that is trained in seconds."""

NAME = "ours-lite0-whole-sartaj-naive"
SMALL = [
    "data.sources=[phantom]", "model.backbone=mobilenetv3_small_050", "model.weights=none", "model.image_size=48", "train.epochs=1",
    "train.precision=float32", "aggregate.resamples=50",
]  # fmt: skip
