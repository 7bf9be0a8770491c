"""The CLAIM checklist (Mongan, Moy and Kahn 2020, doi 10.1148/ryai.2020200029), every item answered."""

from stages.params import Params
from stages.statement.facts import APART, FITTED, KEPT, Facts, assignment, changed, estimate, of_each_seed, training_pictures

NOT_DONE = "Not done: "
NONE = "None: "
SYNTHETIC = {  # item: the answer where no picture is of a patient
    "Prospective or retrospective": "Neither: the pictures are generated",
    "Study goal": "Demonstration of the pipeline",
    "De-identification": "Not needed: no picture shows a patient",
    "Rationale of the ground truth": "The generator knows what it draws",
    "Source of the annotations": "The generator",
    "Annotation tools": "None: the labels are generated with the pictures",
    "Demographics": "None: there are no patients",
    "Implications for practice": NONE + "the pictures are synthetic",
}


def checklist(facts: Facts) -> str:
    """Markdown: a row an item. What was not done or is not known says so."""
    lines = [
        "# CLAIM checklist",
        "",
        "Checklist for Artificial Intelligence in Medical Imaging (Mongan, Moy and Kahn, 2020). Figures are taken from metrics/.",
    ]
    if facts.summary["demonstration"]:
        lines += ["", "**Demonstration on synthetic pictures: no result.**"]
    lines += ["", "| item | asks for | answer |", "| ---: | --- | --- |"]
    lines += [f"| {number} | {item} | {answer} |" for number, (item, answer) in enumerate(answers(facts).items(), 1)]
    return "\n".join(lines) + "\n"


def answers(facts: Facts) -> dict[str, str]:
    """Item -> answer for the 42 items, in their order."""
    answered = _of_public_sets(facts)
    return answered | SYNTHETIC if facts.kinds == "synthetic" else answered


def _of_public_sets(facts: Facts) -> dict[str, str]:
    params, summary, split, dedupe, merge = facts.params, facts.summary, facts.split, facts.dedupe, facts.merge
    train, model, origin = params.train, params.model, facts.weights["origin"]
    sources = "; ".join(
        f"{archive.slug} ({'generated' if archive.phantom else 'Kaggle'}, version {archive.version})"
        for archive in (source.archive for source in facts.sources)
    )
    augmented = [f"{name} {value:g}" for name, value in train.augment.model_dump().items() if value]
    trained = f"{train.epochs} epochs, batches of {train.batch_size}, {train.optimizer}, rate {train.lr:g} ({train.schedule}), weight decay {train.weight_decay:g}, dropout {model.dropout:g}; augmentation: {', '.join(augmented) or 'none'}"
    kept = "the setting with the best validation macro-F1" if model.head in FITTED else KEPT[train.keep]
    normalised = "by the mean and deviation that the backbone is made for" if model.normalisation == "backbone" else "to 0..1"
    renamed = "".join(f"; {old} is called {new}" for old, new in params.data.labels.items())
    probes, audit = facts.shortcuts["probes"], facts.audit
    labels = ", ".join(f"{count:,} {name}" for name, count in dedupe["kept_labels"].items())
    by_class = ", ".join(
        f"{name} recall {estimate(values['recall'])}, specificity {estimate(values['specificity'])}"
        for name, values in summary["classes"].items()
    )
    leaked = "; ".join(f"{name}: {row['in_training']:,} of {row['test']:,}" for name, row in dedupe["published_test_in_training"].items())
    worst = ", ".join(
        f"{row['by']} {row['slice']} ({row['macro_f1']['value']:.3f} of {row['pictures']})" for row in facts.slices["slices"][:3]
    )
    return {
        "Identification as a study of AI methodology": f"Classification of brain MRI pictures by {model.backbone}",
        "Structured summary": "README.md; metrics/model_card.md",
        "Scientific and clinical background, intended use": "Published figures on these sets count copies, and slices of one patient, on both sides of the split; how much that buys depends on the model (README.md, metrics/leaderboard.csv). No clinical use is intended: research software and no medical device",
        "Objectives and hypotheses": f"To measure what {model.backbone} reaches when {APART[params.split.group_by]} is on both sides of the split",
        "Prospective or retrospective": f"Retrospective, on {facts.kinds} collections",
        "Study goal": "Repetition and audit of published methods",
        "Data sources": sources,
        "Eligibility criteria": f"Every picture that decodes and lies in a labelled folder: {merge['pictures']:,} pictures, {merge['rejected']} rejected",
        "Preprocessing": f"Grey, {model.image_size} x {model.image_size} pixels, geometry {params.preprocess.geometry}; grey levels scaled {normalised}",
        "Selection of subsets": _selection(facts),
        "Definitions of data elements": f"One label a picture, by its folder: {', '.join(facts.classes)}{renamed}. No common data elements",
        "De-identification": "By the publishers of the sets; the files are pictures without headers",
        "Missing data": f"Patients are known for {merge['annotated']['patient']:,} files, planes for {merge['annotated']['plane']:,}; {dedupe['planes']['predicted']:,} planes are predicted ({_planes(dedupe['planes']['accuracy_by_group'])}) and {dedupe['planes']['unknown']:,} left empty, unknown patients are replaced by groups of like pictures",
        "Ground truth": "The labels of the sets",
        "Rationale of the ground truth": "It is what the published results were measured against",
        "Source of the annotations": "The sets' publishers; the annotators' qualifications are not documented there",
        "Annotation tools": "Not documented by the sets",
        "Variability of the annotations": f"Not measured. {dedupe['conflicting_clusters']} pictures occur under several labels; confident learning doubts {audit['doubted']} of {audit['pictures']:,} labels (metrics/audit.csv)",
        "Sample size": f"{summary['pictures']:,} test pictures in {summary['groups']:,} groups. No calculation of power",
        "Assignment to partitions": f"{assignment(facts)}; {params.split.validation_fraction:.0%} of what is left for training is for validation; seed {params.split.seed}; docs/protocols.md",
        "Level of disjointness": f"{params.split.group_by}; {split['leaks']['patients']} patients and {split['leaks']['test_pictures']} test pictures on both sides (metrics/split.json)",
        "Model": f"{model.backbone}, {facts.training['parameters']:,} parameters, {facts.training['trained_parameters']:,} of them trained (freeze: {model.freeze}); one picture in, {len(facts.classes)} probabilities out",
        "Software": "requirements.lock",
        "Initialisation": f"{'at random' if origin == 'none' else origin}; the classifier {'is fitted' if model.head in FITTED else 'at random'}",
        "Training": FITTED.get(model.head, trained) + training_pictures(facts),
        "Selection of the model": f"Of each fold, {kept}; default settings were chosen on validation pictures, which are test pictures of other folds: docs/trials.md",
        "Ensembling": f"{_ensemble(summary)}; each prediction is {_views(params)}",
        "Metrics": "Accuracy, balanced accuracy, macro-F1, macro-AUROC, calibration error, Brier score; per class precision, recall, F1, specificity",
        "Uncertainty": f"95 % intervals by bootstrap over groups, {params.aggregate.resamples:,} resamples; {_repetition(facts)}; tools.compare tests differences",
        "Robustness": f"Simple classifier under naive, distinct and patient-grouped splits: accuracy {_simple(facts)}; trees that see size, border, brightness and the head's box: {estimate(probes['all']['accuracy'])}; {changed(facts)}",
        "Explainability": f"Grad-CAM (layer {facts.explain['layer']}), {_attention(facts)}; galleries in metrics/report.html",
        "External data": _external(facts),
        "Flow of cases": f"{merge['pictures']:,} files, {dedupe['pictures']:,} without shipped augmentation, {dedupe['distinct']:,} distinct, {dedupe['kept']:,} of a known label, {split['pictures']:,} in the folds",
        "Demographics": "Not published with the sets",
        "Performance on all partitions": f"Validation macro-F1 {facts.training['validation_macro_f1']['mean']:.3f}; test macro-F1 {estimate(summary['macro_f1'])}{_of_patients(summary)}",
        "Diagnostic accuracy and precision": by_class,
        "Failure analysis": f"Worst slices by macro-F1: {worst or 'none'}; confusion pairs and patients in metrics/slices.json, pictures in metrics/report.html",
        "Limitations": f"Single slices; distinct pictures: {labels}; patients known for {merge['annotated']['patient']:,} of {merge['pictures']:,} files; published test pictures that published training holds: {leaked or 'no published split'}",
        "Implications for practice": NONE + f"the figures describe {facts.kinds} collections and say nothing about a patient",
        "Registration": NONE + "not a clinical study",
        "Study protocol": "dvc.yaml, params.yaml and docs/ of this repository",
        "Funding": "Not stated by this repository",
    }  # fmt: skip


def _selection(facts: Facts) -> str:
    split, several = facts.params.split, f"{facts.dedupe['conflicting_clusters']} that occur under several labels"
    if split.distinct:
        side = " on each side" if split.protocol in ("published", "source") else ""
        copies = (
            f"One copy{side} of each of {facts.dedupe['distinct']:,} distinct pictures; of {several}: {facts.params.dedupe.on_conflict}"
        )
    else:
        copies = f"Every copy of {facts.dedupe['distinct']:,} distinct pictures, also of the {several}"
    return f"{copies}; {facts.split['pictures']:,} in the folds{training_pictures(facts)}"


def _external(facts: Facts) -> str:
    split = facts.params.split
    shares = "; ".join(
        f"{found['share']:.0%} of {name} is in {other}"
        for name, report in facts.leaks["sets"].items()
        for other, found in report.get("in_other_sets", {}).items()
    )
    if split.protocol == "source" and not set(split.train_sources) & set(split.test_sources):
        return f"Trained on {', '.join(split.train_sources)}, tested on {', '.join(split.test_sources)}; by pictures, {shares}"
    return NOT_DONE + "the test pictures are of the sets that are trained on" + (f"; by pictures, {shares}" if shares else "")


def _simple(facts: Facts) -> str:
    splits = facts.leaks["simple_classifier"]["splits"]
    return ", ".join(f"{splits[name]['distinct']['accuracy']['mean']:.3f}" for name in ("naive", "distinct", "patient"))


def _attention(facts: Facts) -> str:
    right = facts.explain["right"]
    if right["inside_head"] is None:
        return "which shows no attention in any picture that is predicted rightly"
    return (
        f"{right['inside_head']:.2f} of the attention inside the head, deletion {right['deletion']:.2f} (random map {right['deletion_random']:.2f}, from the head's "
        f"middle outwards {right['deletion_centre']:.2f}), insertion {right['insertion']:.2f} ({right['insertion_random']:.2f}, {right['insertion_centre']:.2f}) on right predictions"
    )


def _of_patients(summary: dict) -> str:
    if not summary["patients"]:
        return ""
    votes = summary["patients"]["votes"]["all"]
    return (
        f"; of {votes['number']} known patients, each by the mean of all their pictures, {votes['accuracy']['value']:.3f} are told rightly"
    )


def _ensemble(summary: dict) -> str:
    if summary["seeds"] == 1:
        return "None in the figures"
    return f"The {summary['seeds']} models of a fold, one a seed: the mean of their probabilities"


def _views(params: Params) -> str:
    seen = "of the whole picture" if params.evaluate.zoom == 1 else f"of the picture's middle, enlarged {params.evaluate.zoom:g} times"
    return f"{seen}, averaged with its mirror image" if params.evaluate.flips else seen


def _repetition(facts: Facts) -> str:
    alone = of_each_seed(facts.summary)
    return f"repeated training, the models of one seed alone: {alone}" if alone else "training was not repeated with other seeds"


def _planes(accuracy: dict | None) -> str:
    """How right predicted planes are where they are filled in."""
    if not accuracy:
        return "accuracy unknown"
    parts = [f"{_or_unknown(part['of_filled_in'])} of {name.replace('_', ' ')}" for name, part in accuracy.items()]
    return f"right for {' and '.join(parts)}, cross-validated by group"


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
