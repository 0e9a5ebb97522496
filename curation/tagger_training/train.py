"""Training a tagger: split, fit, threshold and calibration on the validation texts, and a card that says how good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from loguru import logger

from curation.bad_lines import BadLines
from curation.records import Span
from curation.tagger_training.encoder import encoder_folder
from curation.tagger_training.examples import labelled, read_examples
from curation.tagger_training.quality import best_threshold, estimate, f1_of, reliability
from curation.tagger_training.spec import LexicalSpec, TaggerTrainingSpec, TransformerSpec
from curation.token_models.base import TokenModel
from curation.token_models.context import InContext
from curation.token_models.labels import LabelledText, word_targets
from curation.token_models.trained import CARD, spans_of
from curation.token_models.transformer import TransformerModel
from infra.atomic import write_json
from infra.errors import AmountError
from infra.stage import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST = 20  # texts below which a split says nothing
_CHECKPOINT = ".training.pt"
_TIMED_SECONDS = 0.2  # of scoring, for the speed in the artifact's counts


def run(spec: TaggerTrainingSpec, workspace: Workspace) -> dict[str, Any]:
    """Train and write weights and card; returns the artifact's counts.

    Raises AmountError for too few texts, InputError for labels of one kind only, and what reading raises.
    """
    logger.disable("datatrove")  # its readers announce every file
    texts, tests = _read(spec, workspace)
    training, validation = split(texts, spec.validation, spec.seed)
    model = _fit(training, spec, workspace)
    if isinstance(model, TransformerModel):
        model.in_context = _in_context(model, validation)
    spans = {"validation": _spans(model, validation, spec.attribute)}
    threshold = best_threshold(validation, spans["validation"])
    training_counts = _counts(training)
    on_validation = measured(validation, spans["validation"], threshold)
    card = {
        "attribute": spec.attribute, "threshold": threshold, "languages": list(spec.languages),
        "model": {"name": spec.model.name, "settings": model.settings()},
        "training": training_counts, "validation": on_validation,
        "tests": {name: measured(test, _spans(model, test, spec.attribute), threshold) for name, test in tests.items()},
    }  # fmt: skip
    model.save(workspace.path)
    write_json(workspace.path / CARD, card)
    speed = _speed(model, validation)
    return {**training_counts, "threshold": threshold, "validation_f1": on_validation["f1"][0],
            "tokens_per_second": speed}  # fmt: skip


def _read(spec: TaggerTrainingSpec, workspace: Workspace) -> tuple[list[LabelledText], dict[str, list[LabelledText]]]:
    """The texts to learn from, and those of each test."""
    bad, tests = BadLines(spec.max_bad_share), {}
    texts = list(read_examples(spec.learn_from, spec.attribute, bad.read))
    bad.weigh("learn_from", workspace)
    for name, test in spec.tests.items():
        tests[name] = list(labelled(test, bad.read))
        bad.weigh(f"tests.{name}", workspace)
    return texts, tests


def split(texts: list[LabelledText], share: float, seed: int) -> tuple[list[LabelledText], list[LabelledText]]:
    """Texts to learn from and texts to validate on; texts that are equal stay on one side. Raises AmountError."""
    if len(texts) < _FEWEST:
        raise AmountError(f"{len(texts)} texts are too few to learn from and validate on; give at least {_FEWEST}")
    distinct = list(dict.fromkeys(labelled.text for labelled in texts))
    drawn = np.random.default_rng(seed).permutation(len(distinct))[: max(round(share * len(distinct)), 1)]
    held = {distinct[index] for index in drawn}
    return [each for each in texts if each.text not in held], [each for each in texts if each.text in held]


def _fit(training: list[LabelledText], spec: TaggerTrainingSpec, workspace: Workspace) -> TokenModel:
    epochs = spec.model.epochs if isinstance(spec.model, TransformerSpec) else 1
    with workspace.progress(f"train {spec.name}", epochs * len(training), "texts") as advance:
        if isinstance(spec.model, LexicalSpec):
            from curation.tagger_training.fit_lexical import fit_lexical

            return fit_lexical(training, spec.model, spec.seed, advance)
        from curation.tagger_training.fit_transformer import fit_transformer

        checkpoint = workspace.path / _CHECKPOINT
        model = fit_transformer(training, spec.model, encoder_folder(spec.model), spec.seed, checkpoint, advance)
        if spec.model.lexical_share:
            from curation.tagger_training.fit_lexical import fit_lexical

            model.lexical = fit_lexical(training, LexicalSpec(), spec.seed, lambda _: None)
            model.lexical_share = spec.model.lexical_share
        return model


def _in_context(model: TransformerModel, validation: list[LabelledText]) -> InContext:
    _, logits = model.logits([labelled.text for labelled in validation])
    return InContext.fit(np.concatenate(logits), list(map(len, logits)), _targets(validation))


def _spans(model: TokenModel, texts: list[LabelledText], attribute: str) -> list[list[Span]]:
    return [spans_of(found, attribute) for found in model.score([labelled.text for labelled in texts])]


def _targets(texts: list[LabelledText]) -> NDArray[np.float32]:
    return np.concatenate([word_targets(labelled)[1] for labelled in texts])


def measured(texts: list[LabelledText], spans: list[list[Span]], threshold: float) -> dict[str, Any]:
    """Figures of a card: F1 as [value, low, high], and how well scores say what share of words is risky.

    `spans` holds every word of every text.
    """
    f1 = estimate(f1_of(texts, spans, threshold))
    scores = np.array([span.score for each in spans for span in each], dtype=np.float32)
    return {**_counts(texts), "f1": [f1.value, f1.low, f1.high], "calibration": reliability(scores, _targets(texts))}


def _counts(texts: list[LabelledText]) -> dict[str, Any]:
    targets = _targets(texts)
    return {"texts": len(texts), "words": len(targets), "risky_words": round(float(targets.sum()))}


def _speed(model: TokenModel, texts: list[LabelledText]) -> int:
    """Words a second on one core, reading included; of this machine, so no part of the card."""
    words, batch, begun = 0, [labelled.text for labelled in texts], time.process_time()
    while (used := time.process_time() - begun) < _TIMED_SECONDS:
        words += sum(len(found.places) for found in model.score(batch[:256]))
    return round(words / used)
