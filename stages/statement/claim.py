"""The CLAIM checklist (Mongan, Moy and Kahn 2020, doi 10.1148/ryai.2020200029), every item answered."""

from stages.params import Params
from stages.statement.facts import FITTED, Facts, estimate, of_each_seed

NOT_DONE = "Not done: "
NONE = "None: "


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
    lines += [f"| {number} | {item} | {answer} |" for number, (item, answer) in enumerate(answers(facts), 1)]
    return "\n".join(lines) + "\n"


def answers(facts: Facts) -> list[tuple[str, str]]:
    """(item, answer) for the 42 items, in their order."""
    params, summary, split, dedupe, merge = facts.params, facts.summary, facts.split, facts.dedupe, facts.merge
    train, model = params.train, params.model
    sources = "; ".join(f"{source.slug} (Kaggle, version {source.version})" for source in facts.sources)
    augmented = [f"{name} {value:g}" for name, value in train.augment.model_dump().items() if value]
    epochs = f"{train.epochs} epochs, batches of {train.batch_size}, {train.optimizer}, rate {train.lr:g} ({train.schedule}), weight decay {train.weight_decay:g}, dropout {model.dropout:g}, label smoothing {train.label_smoothing:g}; augmentation: {', '.join(augmented) or 'none'}"
    probes, audit = facts.shortcuts["probes"], facts.audit
    labels = ", ".join(f"{count:,} {name}" for name, count in dedupe["kept_labels"].items())
    by_class = ", ".join(
        f"{name} recall {estimate(summary[name]['recall'])}, specificity {estimate(summary[name]['specificity'])}" for name in facts.classes
    )
    leaked = "; ".join(f"{name}: {row['in_training']:,} of {row['test']:,}" for name, row in dedupe["published_test_in_training"].items())
    worst = ", ".join(
        f"{row['by']} {row['slice']} ({row['macro_f1']['value']:.3f} of {row['pictures']})" for row in facts.slices["slices"][:3]
    )
    return [
        ("Identification as a study of AI methodology", f"Classification of brain MRI pictures by {model.backbone}"),
        ("Structured summary", "README.md; metrics/model_card.md"),
        ("Scientific and clinical background, intended use", "Published accuracies on these sets rest on leakage (README.md). No clinical use is intended: research software and no medical device"),
        ("Objectives and hypotheses", "To measure what published methods reach when no copy of a picture and no patient is on both sides of the split"),
        ("Prospective or retrospective", "Retrospective, on published collections"),
        ("Study goal", "Repetition and audit of published methods"),
        ("Data sources", sources),
        ("Eligibility criteria", f"Every picture that decodes and lies in a labelled folder: {merge['pictures']:,} pictures, {merge['rejected']} rejected"),
        ("Preprocessing", f"Grey, {model.image_size} x {model.image_size} pixels, geometry {params.preprocess.geometry}; nothing else"),
        ("Selection of subsets", f"One copy of each of {dedupe['distinct']:,} distinct pictures; of {dedupe['conflicting_clusters']} that occur under several labels: {params.dedupe.on_conflict}; {dedupe['kept']:,} kept"),
        ("Definitions of data elements", f"One label a picture, by its folder: {', '.join(facts.classes)}. No common data elements"),
        ("De-identification", "By the publishers of the sets; the files are pictures without headers"),
        ("Missing data", f"Patients are known for {merge['annotated']['patient']:,} files, planes for {merge['annotated']['plane']:,}; other planes are predicted (accuracy {_or_unknown(dedupe['planes']['accuracy_by_group'])} by group), unknown patients are replaced by groups of like pictures"),
        ("Ground truth", "The labels of the sets"),
        ("Rationale of the ground truth", "It is what the published results were measured against"),
        ("Source of the annotations", "The sets' publishers; the annotators' qualifications are not documented there"),
        ("Annotation tools", "Not documented by the sets"),
        ("Variability of the annotations", f"Not measured. {dedupe['conflicting_clusters']} pictures occur under several labels; confident learning doubts {audit['doubted']} of {audit['pictures']:,} labels (metrics/audit.csv)"),
        ("Sample size", f"All there is: {summary['pictures']:,} distinct test pictures in {summary['groups']:,} groups. No calculation of power"),
        ("Assignment to partitions", f"{params.split.protocol}, {summary['folds']} fold(s), {params.split.validation_fraction:.0%} of what is left for training chooses the epoch, seed {params.split.seed}; docs/protocols.md"),
        ("Level of disjointness", f"{params.split.group_by}; {split['leaks']['patients']} patients and {split['leaks']['test_pictures']} test pictures on both sides (metrics/split.json)"),
        ("Model", f"{model.backbone}, {facts.training['parameters']:,} parameters, {facts.training['trained_parameters']:,} of them trained (freeze: {model.freeze}); one picture in, {len(facts.classes)} probabilities out"),
        ("Software", "requirements.lock"),
        ("Initialisation", f"{facts.weights['origin']}; the classifier at random"),
        ("Training", FITTED.get(model.head, epochs)),
        ("Selection of the model", "The epoch with the best validation macro-F1 of each fold; settings were chosen on validation pictures (docs/trials.md)"),
        ("Ensembling", f"{_ensemble(summary)}; each prediction is {_views(params)}"),
        ("Metrics", "Accuracy, balanced accuracy, macro-F1, macro-AUROC, calibration error, Brier score; per class precision, recall, F1, specificity"),
        ("Uncertainty", f"95 % intervals by bootstrap over groups, {params.aggregate.resamples:,} resamples; {_repetition(facts)}; tools.compare tests differences"),
        ("Robustness", f"Simple classifier under naive, distinct and patient-grouped splits: accuracy {_simple(facts)}; trees that see no anatomy: {estimate(probes['all']['accuracy'])}"),
        ("Explainability", f"Grad-CAM (layer {facts.explain['layer']}), {_attention(facts)}; galleries in metrics/report.html"),
        ("External data", NOT_DONE + "all three sets contain each other (metrics/leaks.json); `split.protocol: source` holds a set out"),
        ("Flow of cases", f"{merge['pictures']:,} files, {dedupe['pictures']:,} without shipped augmentation, {dedupe['distinct']:,} distinct, {dedupe['kept']:,} kept"),
        ("Demographics", "Not published with the sets"),
        ("Performance on all partitions", f"Validation macro-F1 {facts.training['validation_macro_f1']['mean']:.3f}; test macro-F1 {estimate(summary['macro_f1'])}"),
        ("Diagnostic accuracy and precision", by_class),
        ("Failure analysis", f"Worst slices by macro-F1: {worst or 'none'}; confusion pairs and patients in metrics/slices.json, pictures in metrics/report.html"),
        ("Limitations", f"Single slices; {labels}; patients known in part; published test pictures that published training holds: {leaked or 'no published split'}"),
        ("Implications for practice", NONE + "the figures describe public collections and say nothing about a patient"),
        ("Registration", NONE + "not a clinical study"),
        ("Study protocol", "dvc.yaml, params.yaml and docs/ of this repository"),
        ("Funding", "Not stated by this repository"),
    ]  # fmt: skip


def _simple(facts: Facts) -> str:
    splits = facts.leaks["simple_classifier"]["splits"]
    return ", ".join(f"{splits[name]['distinct']['accuracy']['mean']:.3f}" for name in ("naive", "distinct", "patient"))


def _attention(facts: Facts) -> str:
    right = facts.explain["right"]
    return (
        f"{right['inside_head']:.2f} of the attention inside the head, deletion {right['deletion']:.2f} (random map {right['deletion_random']:.2f}), "
        f"insertion {right['insertion']:.2f} ({right['insertion_random']:.2f}) on right predictions"
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


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
