"""(c) A cascade and token tags: every text meets a linear gate, `detoxify` scores what passes, `lexical` tags all.

Random weights give no verdicts, so time and recall are measured with two scorers. Time: the `detoxify` of (b) on those
texts of (a) and (b) that the gate lets through, the gate and the tagger on all of them. Recall: a MiniLM fine-tuned on
labelled comments judges texts of the same corpora; the gate (the student of `kind: distillation`) learns from its
scores on some and meets the others, where a survey sets the threshold and the rest tells the recall.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from bench import Bench, seconds
from detoxify_speed import checkpoint

_JUDGED = 16_000  # texts that the judge scores
_LEARNT = 10_000  # of these, the gate learns from so many
_SURVEY = 4000  # so many more set the threshold
_RECALL, _CONFIDENCE, _RISKY = 0.99, 0.95, 0.5


def measure(bench: Bench) -> None:
    """Recall first, as it gives the gate and its threshold; then time. Needs part a of the same run."""
    from curation.cascade.threshold import threshold_of
    from curation.scorers import load_scorer
    from curation.scoring.resolve import resolved

    judged = bench.texts(_JUDGED)
    scores = _judge(bench, judged)
    met = len(judged) - _LEARNT  # the first ones, those that are timed among them: the gate has not seen them
    gate = _gate(judged[met:], scores[met:])
    gates, verdicts = gate(judged[:met]), scores[:met] >= _RISKY
    threshold = threshold_of(gates[:_SURVEY], verdicts[:_SURVEY], _RECALL, _CONFIDENCE)
    above, verdicts = gates[_SURVEY:] >= threshold, verdicts[_SURVEY:]
    detoxify, tag, texts = load_scorer(resolved(checkpoint(bench))), _tagger(bench), bench.texts()
    seen: list[str] = []

    def cascade() -> None:
        seen.extend(text for text, score in zip(texts, gate(texts), strict=True) if score >= threshold)
        detoxify.score(seen)
        tag(texts)

    taken = seconds(cascade)
    bench.add("c", "cascade and token tags", len(texts) / taken, "documents/s")
    times = len(texts) / taken / bench.value("a", "Detoxify.predict, batches of 32")
    bench.add("c", "cascade and token tags against (a)", times, "times", floor=20)
    bench.add("c", "recall of the costly verdicts", float(above[verdicts].mean()), "", floor=_RECALL)
    bench.notes.append(
        f"(c): the judge calls {verdicts.mean():.0%} of {len(verdicts):,} texts risky; the gate (threshold "
        f"{threshold:.4f}, from a survey of {_SURVEY:,}) lets {above.mean():.0%} of them through, and {len(seen)} of "
        f"the {len(texts)} that are timed. The survey costs {_SURVEY:,} documents whatever the corpus: not counted."
    )


def _judge(bench: Bench, texts: list[str]) -> np.ndarray:
    """Probability that a text is toxic, by the classifier of ../scoring/classifier.py; kept in --out."""
    from curation.scorers import load_scorer
    from curation.scorers.options import TransformersSpec

    sys.path.insert(0, str(Path(__file__).parents[1] / "scoring"))
    from classifier import classifier

    file = bench.out / "judged.npy"
    if not file.is_file():
        folder = classifier(bench.data, bench.out / "classifier")
        spec = TransformersSpec(model="minilm-jigsaw", folder=str(folder), device="cpu", precision="float32")
        np.save(file, load_scorer(spec).score(texts)[:, -1])
    return np.load(file)


def _gate(texts: list[str], scores: np.ndarray):  # noqa: ANN202 (a closure)
    """A student of the judge, as a function from texts to scores."""
    from curation.models.student import fit
    from curation.training.distillation.spec import DistillationSpec

    default = {name: field.default for name, field in DistillationSpec.model_fields.items()}
    student = fit(texts, scores[:, None], ("toxicity",), default["ngrams"], default["hash_bits"], default["penalty"])
    return lambda batch: student.scores(batch)[:, 0]


def _tagger(bench: Bench):  # noqa: ANN202 (a closure)
    """The trained tagger of (d)."""
    from curation.taggers import make_tagger
    from curation.taggers.options import LexicalTaggerSpec
    from curation.training.tagger.spec import TaggerTrainingSpec
    from curation.training.tagger.stage import TAGGER
    from infra.config.spec import load_spec
    from infra.stages.stage import run_stage

    file = Path(__file__).parents[1] / "taggers" / "lexical.yaml"
    _, spec = load_spec(file, {"tagger": lambda: TaggerTrainingSpec})
    tagger = make_tagger(LexicalTaggerSpec(path=str(run_stage(TAGGER, spec, bench.out / "lexical", quiet=True).path)))
    return tagger.tag
