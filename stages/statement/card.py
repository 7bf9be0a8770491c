"""The model card (Mitchell et al. 2019, doi 10.1145/3287560.3287596)."""

from stages.statement.facts import APART, FITTED, KEPT, Facts, assignment, changed, of_each_seed, training_pictures

FIGURES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "balanced_accuracy": "Balanced accuracy", "macro_auroc": "Macro-AUROC"}


def model_card(facts: Facts) -> str:
    """Markdown; every figure in it is one of the facts."""
    params, summary, calibration, split = facts.params, facts.summary, facts.calibration, facts.split
    worst = facts.slices["slices"][0] if facts.slices["slices"] else None
    trained = f"{params.train.epochs} epochs of {params.train.optimizer}, rate {params.train.lr:g}; {KEPT[params.train.keep]} is kept"
    distinct = "distinct " if params.split.distinct else ""
    trees = {name: facts.shortcuts["probes"][name]["accuracy"]["mean"] for name in ("all", "nothing")}
    lines = [
        f"# {params.model.backbone} for brain MRI pictures",
        "",
        f"**Research software and no medical device.** It must not be used to decide about a patient: it has seen single slices of {facts.kinds}",
        "collections, no scanner protocol and no clinical history.",
    ]
    if summary["demonstration"]:
        lines += ["", "**Demonstration on synthetic pictures: the figures below are no result.**"]
    lines += [
        "",
        "## What it is",
        "",
        f"- Task: one 2D picture to one of {', '.join(facts.classes)}.",
        f"- Network: {params.model.backbone}, {facts.training['parameters']:,} parameters, {facts.training['trained_parameters']:,} of them trained; "
        f"one for each of {summary['folds']} fold(s) and {summary['seeds']} seed(s). Input {params.model.image_size} x {params.model.image_size}, grey, geometry `{params.preprocess.geometry}`.",
        f"- Pretrained weights: {facts.weights['origin']}{', ' + facts.weights['licence'] if facts.weights.get('licence') else ''}.",
        f"- Training: {FITTED.get(params.model.head, trained)}{training_pictures(facts)}.",
        f"- Calibration: {_temperature(calibration)}.",
        "",
        "## Data",
        "",
        *(
            f"- {source.archive.title} ({source.archive.slug}, version {source.archive.version}, {source.licence}): {source.attribution}"
            for source in facts.sources
        ),
        f"- Split: {assignment(facts)}.",
        f"- {summary['pictures']:,} {distinct}test pictures of {summary['groups']:,} groups (patients where known). Test pictures also in training: "
        f"{split['leaks']['test_pictures']}; patients on both sides: {split['leaks']['patients']}.",
        "",
        "## How well it does",
        "",
        f"{APART[params.split.group_by].capitalize()} is in both the training and the test of a fold. Mean over folds and 95 % interval by",
        "bootstrap over groups; each fold is scored alone, an ensemble of folds was not measured.",
        "",
        "| | mean | 95 % interval |",
        "| --- | ---: | :---: |",
        *(_row(title, summary[name]) for name, title in FIGURES.items()),
        *(_row(f"Recall of {name}", values["recall"]) for name, values in summary["classes"].items()),
        _row("Calibration error before scaling", calibration["before"]["ece"]),
        _row("Calibration error after scaling", calibration["after"]["ece"]),
        "",
        f"Accuracy when the least confident pictures are left to a human: {_answers(calibration)}.",
    ]
    if summary["patients"]:
        patients = summary["patients"]
        lines += [
            "",
            f"Of the {patients['votes']['all']['number']} known patients ({', '.join(patients['classes'])}) the mean of all their pictures tells {_pooled(patients['votes']['all']['accuracy'])} rightly; of their pictures, each alone, {_pooled(patients['images']['accuracy'])} are.",
        ]
    if alone := of_each_seed(summary):
        lines += ["", f"The models of a fold's {summary['seeds']} seeds predict together above. The models of one seed alone: {alone}."]
    if worst:
        lines += [
            "",
            f"The worst slice is {worst['by']} {worst['slice']}: macro-F1 {worst['macro_f1']['value']:.3f} of {worst['pictures']} pictures.",
        ]
    lines += [
        "",
        "## Limits",
        "",
        "- Other scanners, contrasts, diseases or ages than those of the sets above are outside what it has learnt. It always answers with one of its classes.",
        f"- {_patients(facts)}",
        f"- Robustness: {changed(facts)}.",
        "- The default settings were chosen on validation pictures (docs/trials.md), and a picture that validates in one fold is tested in another: the figures above are not of pictures that had no part in any choice.",
        "- The intervals say how much hangs on which pictures and patients were tested, not on chance in training, nor on which pictures were trained on.",
        f"- Trees that see size, border, brightness and the box of the head, and nothing in it, reach an accuracy of {trees['all']:.3f}; the most frequent class alone, {trees['nothing']:.3f}.",
        f"- {facts.audit['doubted']} of {facts.audit['pictures']:,} labels are doubted by confident learning, a model's opinion; nobody with medical training has checked them here.",
    ]
    return "\n".join(lines) + "\n"


def _row(title: str, figure: dict) -> str:
    if figure["mean"] is None:
        return f"| {title} | undefined | |"
    return f"| {title} | {figure['mean']:.3f} | {figure['low']:.3f} to {figure['high']:.3f} |"


def _pooled(metric: dict) -> str:
    return f"{metric['value']:.3f}" + (f" ({metric['low']:.3f} to {metric['high']:.3f})" if metric["low"] is not None else "")


def _temperature(calibration: dict) -> str:
    before, after, standard_error = calibration["validation_cross_entropy"].values()
    if after is None:
        return "none, since there are too few groups of validation pictures to check a temperature"
    checked = f"cross-validated by group, takes their cross-entropy from {before:.4f} to {after:.4f} (standard error of the difference over groups {standard_error:.4f})"
    if calibration["temperature"] == 1:
        return f"none, since it takes a gain of two standard errors and a temperature that is fitted on validation pictures, {checked}"
    return f"one temperature for all folds, {calibration['temperature']:.2f}, which is fitted on validation pictures and, {checked}"


def _patients(facts: Facts) -> str:
    if facts.params.split.group_by != "patient":
        return "The split does not keep patients apart: how well it does on new patients was not measured."
    merge = facts.merge
    return f"Patients are known for {merge['annotated']['patient']:,} of {merge['pictures']:,} files; for the others, close neighbours stand in for them."


def _answers(calibration: dict) -> str:
    return ", ".join(f"{value:.3f} with {share}" for share, value in calibration["accuracy_of_answers"].items())
