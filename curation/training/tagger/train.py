"""Training a tagger: split, fit, gate, threshold and calibration on the validation texts, a card that says how good."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from loguru import logger

from curation.scoring.unscored import LeftOut
from curation.sources.bad_lines import BadLines
from curation.token_models.base import TokenModel
from curation.token_models.gate import Gate
from curation.token_models.labels import LabelledText, word_targets
from curation.token_models.lexical import LexicalModel
from curation.token_models.trained import CARD, spans_of
from curation.token_models.transformer import TransformerModel
from curation.training.intervals import estimate
from curation.training.tagger.choice import Validation, choose, fit_context, judged, text_weights
from curation.training.tagger.encoder import encoder_folder
from curation.training.tagger.examples import labelled, read_examples
from curation.training.tagger.fit_gate import FEWEST, can_be_gated, fit_gate, last_step
from curation.training.tagger.fit_lexical import fit_lexical
from curation.training.tagger.quality import f1_of, reliability
from curation.training.tagger.spec import EncoderSpec, LexicalSpec, TaggerTrainingSpec
from infra.atomic import write_json
from infra.errors import AmountError
from infra.stages.stage import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST = 20  # texts below which a split says nothing
_CHECKPOINT = ".training.pt"
_TIMED_SECONDS = 0.2  # of scoring, for the speed in the artifact's counts


@dataclass(frozen=True)
class _Texts:
    """Labelled texts and clean ones, those that are learnt from or those that are held out."""

    labelled: list[LabelledText]
    clean: list[LabelledText]

    def all(self) -> list[LabelledText]:
        return [*self.labelled, *self.clean]


def run(spec: TaggerTrainingSpec, workspace: Workspace) -> dict[str, Any]:
    """Train and write weights and card; returns the artifact's counts.

    Raises AmountError for too few texts, InputError for labels of one kind only, and what reading raises.
    """
    logger.disable("datatrove")  # its readers announce every file
    bad = BadLines(spec.max_bad_share)
    training, held = _read(spec, bad, workspace)
    tests = _read_tests(spec, bad, workspace)
    model = _fit(training, spec, workspace)
    threshold = _finish(model, training, held, spec, workspace)
    training_counts = _counts(training.labelled)
    on_validation = _measured(model, held.labelled, spec, threshold)
    card = {
        "attribute": spec.attribute, "threshold": threshold, "languages": list(spec.languages),
        "model": {"name": spec.model.name, "settings": model.settings()},
        "gate": model.gate.settings() if model.gate else None,
        "training": {**training_counts, "clean_texts": len(training.clean)}, "validation": on_validation,
        "clean": _false_alarms(model, held.clean, threshold),
        "tests": {name: _measured(model, test, spec, threshold) for name, test in tests.items()},
    }  # fmt: skip
    model.save(workspace.path)
    if model.gate:
        model.gate.save(workspace.path)
    write_json(workspace.path / CARD, card)
    speed = _speed(model, held.labelled)
    return {**training_counts, "threshold": threshold, "validation_f1": on_validation["f1"][0],
            "tokens_per_second": speed}  # fmt: skip


def _read(spec: TaggerTrainingSpec, bad: BadLines, workspace: Workspace) -> tuple[_Texts, _Texts]:
    """What is learnt from, and what is held out."""
    left_out = LeftOut()
    texts = list(read_examples(spec.learn_from, spec.attribute, bad.read, left_out))
    bad.weigh("learn_from", workspace)
    left_out.tell("the teacher", workspace)
    clean = [LabelledText(row.text, (), row.id) for source in spec.clean for row in bad.read(source)]
    bad.weigh("clean", workspace)
    learnt, held = split(texts, spec.validation, spec.seed)
    clean_learnt, clean_held = split(clean, spec.validation, spec.seed) if clean else ([], [])
    return _Texts(learnt, clean_learnt), _Texts(held, clean_held)


def _read_tests(spec: TaggerTrainingSpec, bad: BadLines, workspace: Workspace) -> dict[str, list[LabelledText]]:
    """The texts of each test, whose bad lines are weighed by themselves."""
    tests = {}
    for name, test in spec.tests.items():
        tests[name] = list(labelled(test, bad.read))
        bad.weigh(f"tests.{name}", workspace)
    return tests


def _finish(
    model: LexicalModel | TransformerModel, training: _Texts, held: _Texts, spec: TaggerTrainingSpec,
    workspace: Workspace,
) -> float:  # fmt: skip
    """What is fitted to the texts held out: a transformer's last step, the gate, its cut; returns the threshold."""
    texts = held.all()
    logits = model.word_logits([labelled.text for labelled in texts])
    validation = Validation(texts, np.arange(len(texts)) < len(held.labelled), logits)
    in_context = None if isinstance(model, TransformerModel) else model.in_context
    if isinstance(model, TransformerModel):
        model.in_context = fit_context(validation)
    gate = _gate(training, validation, spec, workspace)
    empty = np.array([not labelled.gold() for labelled in texts])
    weights = text_weights(empty, _empty_rate(spec, training, empty))
    cut, threshold = choose(judged(validation, in_context, gate, spec.seed), weights, gate is not None)
    model.gate = replace(last_step(gate, texts, logits), cut=cut) if gate else None
    return threshold


def _gate(training: _Texts, validation: Validation, spec: TaggerTrainingSpec, workspace: Workspace) -> Gate | None:
    if spec.gate is None:
        return None
    if not can_be_gated(training.all(), validation.texts):
        workspace.note(f"no gate: of texts with a span and of texts without one, at least {FEWEST} of each are needed "
                       "to learn from and to hold out; give clean texts")  # fmt: skip
        return None
    return fit_gate(training.all(), validation.texts, validation.logits, spec.gate)


def _empty_rate(spec: TaggerTrainingSpec, training: _Texts, empty: NDArray[np.bool_]) -> float:
    """As declared, else that of the labelled texts; of all texts where every labelled one has a span."""
    if spec.empty_rate is not None:
        return spec.empty_rate
    rate = float(np.mean([not labelled.gold() for labelled in training.labelled]))
    return rate or float(empty.mean())


def split(texts: list[LabelledText], share: float, seed: int) -> tuple[list[LabelledText], list[LabelledText]]:
    """Texts to learn from and texts to validate on; texts that are equal stay on one side. Raises AmountError."""
    if len(texts) < _FEWEST:
        raise AmountError(f"{len(texts)} texts are too few to learn from and validate on; give at least {_FEWEST}")
    distinct = list(dict.fromkeys(labelled.text for labelled in texts))
    drawn = np.random.default_rng(seed).permutation(len(distinct))[: max(round(share * len(distinct)), 1)]
    held = {distinct[index] for index in drawn}
    return [text for text in texts if text.text not in held], [text for text in texts if text.text in held]


def _fit(training: _Texts, spec: TaggerTrainingSpec, workspace: Workspace) -> LexicalModel | TransformerModel:
    epochs = spec.model.epochs if isinstance(spec.model, EncoderSpec) else 1
    with workspace.progress(f"train {spec.name}", epochs * len(training.all()), "texts") as advance:
        if isinstance(spec.model, LexicalSpec):
            return fit_lexical(training.labelled, training.clean, spec.model, spec.seed, advance)
        from curation.training.tagger.fit_transformer import fit_transformer

        checkpoint, encoder = workspace.path / _CHECKPOINT, encoder_folder(spec.model)
        model = fit_transformer(training.all(), spec.model, encoder, spec.seed, checkpoint, advance)
        if spec.model.lexical_share:
            model.lexical = fit_lexical(training.labelled, training.clean, LexicalSpec(), spec.seed, lambda _: None)
            model.lexical_share = spec.model.lexical_share
        return model


def _targets(texts: list[LabelledText]) -> NDArray[np.float32]:
    return np.concatenate([word_targets(labelled)[1] for labelled in texts])


def _measured(
    model: TokenModel, texts: list[LabelledText], spec: TaggerTrainingSpec, threshold: float
) -> dict[str, Any]:
    """Figures of a card: F1 as [value, low, high], and how well scores say what share of words is risky."""
    spans = [spans_of(words, spec.attribute) for words in model.score([labelled.text for labelled in texts])]
    f1 = estimate(f1_of(texts, spans, threshold))
    scores = np.array([span.score for row in spans for span in row], dtype=np.float32)
    return {**_counts(texts), "f1": [f1.value, f1.low, f1.high], "calibration": reliability(scores, _targets(texts))}


def _false_alarms(model: TokenModel, clean: list[LabelledText], threshold: float) -> dict[str, int]:
    """How many of the clean texts, and of their words, are marked."""
    marked = [words.scores >= threshold for words in model.score([labelled.text for labelled in clean])]
    return {"texts": len(clean), "marked_texts": sum(bool(row.any()) for row in marked),
            "words": sum(map(len, marked)), "marked_words": sum(int(row.sum()) for row in marked)}  # fmt: skip


def _counts(texts: list[LabelledText]) -> dict[str, Any]:
    targets = _targets(texts)
    return {"texts": len(texts), "words": len(targets), "risky_words": round(float(targets.sum()))}


def _speed(model: TokenModel, texts: list[LabelledText]) -> int:
    """Words a second on one core, reading included; of this machine, so no part of the card."""
    words, batch, begun = 0, [labelled.text for labelled in texts], time.process_time()
    while (used := time.process_time() - begun) < _TIMED_SECONDS:
        words += sum(len(scored.spans) for scored in model.score(batch[:256]))
    return round(words / used)
