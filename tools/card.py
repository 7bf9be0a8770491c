"""The model card (Mitchell et al. 2019), filled from the metrics files."""

import json
from pathlib import Path

from stages.params import load_params
from stages.sources import load_source


def model_card() -> str:
    """Markdown; every figure comes from metrics/ and data/, nothing is written by hand."""
    params = load_params()
    summary, calibration, training, split = (
        json.loads(Path(f"metrics/{name}.json").read_text()) for name in ("summary", "calibration", "train", "split")
    )
    weights = json.loads(Path("data/weights/weights.json").read_text())
    sources = [load_source(name).archive for name in params.data.sources]
    classes = [name for name, value in summary.items() if isinstance(value, dict) and "f1" in value]
    lines = [
        f"# {params.model.backbone} for brain MRI pictures",
        "",
        "**Research software and no medical device.** It must not be used to decide about a patient: it has seen single slices of public collections, no scanner protocol, no clinical history.",
        *(["", "**Demonstration on synthetic pictures: the figures below are no result.**"] if summary["demonstration"] else []),
        "",
        "## What it is",
        "",
        f"- Task: one 2D picture to one of {', '.join(classes)}.",
        f"- Network: {params.model.backbone}, {training['parameters']:,} parameters, {training['trained_parameters']:,} of them trained, one for each of {summary['folds']} fold(s), averaged; "
        f"input {params.model.image_size} x {params.model.image_size} grey, geometry `{params.preprocess.geometry}`.",
        f"- Pretrained weights: {weights.get('origin', 'none')}, {weights.get('licence', '')}.",
        f"- Training: {params.train.epochs} epochs of {params.train.optimizer}, rate {params.train.lr:g}, the epoch with the best validation macro-F1 kept.",
        f"- Calibration: a temperature a fold, {min(calibration['temperature'].values()):.2f} to {max(calibration['temperature'].values()):.2f}, fitted on validation pictures.",
        "",
        "## Data",
        "",
        *(
            f"- {source.title} (Kaggle {source.slug}, version {source.version}, {source.licence}): {source.attribution}"
            if hasattr(source, "slug")
            else f"- {source}"
            for source in sources
        ),
        f"- {summary['pictures']:,} distinct pictures of {summary['groups']} groups (patients where known). Test pictures also in training: {split['leaks']['test_pictures']}; patients on both sides: {split['leaks']['patients']}.",
        "",
        "## How well it does",
        "",
        f"Each picture was predicted by the one model that had not seen its patient (`{params.split.protocol}`, by {params.split.group_by}); mean over folds, 95 % interval by bootstrap over groups. The ensemble in this package "
        "was not measured: every picture at hand was in the training of some of its models.",
        "",
        "| | mean | 95 % interval |",
        "| --- | ---: | :---: |",
        *(
            f"| {name.replace('_', ' ')} | {summary[name]['mean']:.3f} | {summary[name]['low']:.3f} to {summary[name]['high']:.3f} |"
            for name in ("accuracy", "macro_f1", "balanced_accuracy", "macro_auroc")
        ),
        *(
            f"| recall of {name} | {summary[name]['recall']['mean']:.3f} | {summary[name]['recall']['low']:.3f} to {summary[name]['recall']['high']:.3f} |"
            for name in classes
        ),
        f"| calibration error before, after | {calibration['before']['ece']['mean']:.3f}, {calibration['after']['ece']['mean']:.3f} | |",
        "",
        *(f"- Accuracy with {share}: {value:.3f}." for share, value in calibration["accuracy_of_answers"].items()),
        "",
        "## Limits",
        "",
        '- Pictures of other scanners, contrasts, diseases or ages than those of the sets above are outside what it has learnt; the warning "unlike the training pictures" catches gross differences only.',
        "- A picture of a healthy brain and one of another disease look alike to it: it always answers with one of its classes.",
        "- Patients are known for part of the pictures; where they are not, close neighbours stand in for them.",
        "- The sets differ in size, border and brightness by class; part of the accuracy may rest on that (see the shortcut probe of the project).",
    ]
    return "\n".join(lines) + "\n"
