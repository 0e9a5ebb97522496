"""(c) A cascade and token tags: every text meets a fastText gate, `detoxify` scores what passes, `lexical` tags all.

Random weights give no verdicts, so time and recall are measured with two scorers. Time: the `detoxify` of (b) on those
texts of (a) and (b) that the gate lets through, the gate and the tagger on all of them. Recall: a scorer trained on
labelled comments (MiniLM and a logistic regression) judges other texts of the same sets; the gate learns from its
verdicts on one half and meets the other half, where a survey sets the threshold and the rest tells the recall.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
from bench import Bench, seconds
from detoxify_speed import checkpoint

_EXAMPLES = 6000  # labelled comments that the judge learns from
_JUDGED = 14_000  # texts: one half for the gate to learn from, the other to meet it
_SURVEY = 2500
_RECALL, _CONFIDENCE, _RISKY = 0.99, 0.95, 0.5


def measure(bench: Bench) -> None:
    """Recall first, as it gives the gate and its threshold; then time. Needs part a of the same run."""
    from curation.cascade.gate import threshold_of
    from curation.resolve import resolved
    from curation.scorers import load_scorer

    texts_of_both = bench.texts(_JUDGED)
    risky = _judge(bench, texts_of_both) >= _RISKY
    half = _JUDGED // 2
    gate = _gate(bench, texts_of_both[:half], risky[:half])
    scores, verdicts = gate(texts_of_both[half:]), risky[half:]
    threshold = threshold_of(scores[:_SURVEY], verdicts[:_SURVEY], _RECALL, _CONFIDENCE)
    above, verdicts = scores[_SURVEY:] >= threshold, verdicts[_SURVEY:]
    detoxify, tag, texts = load_scorer(resolved(checkpoint(bench))), _tagger(bench), bench.texts()
    seen: list[str] = []

    def cascade() -> None:
        seen.extend(text for text, score in zip(texts, gate(texts), strict=True) if score >= threshold)
        detoxify.score(seen)
        tag(texts)

    taken = seconds(cascade)
    bench.add("c", "cascade and token tags", len(texts) / taken, "documents/s")
    times = len(texts) / taken / bench.value("a", "Detoxify.predict, batches of 32")
    bench.add("c", "cascade and token tags against (a)", times, "times", least=20)
    bench.add("c", "recall of the costly verdicts", float(above[verdicts].mean()), "", least=_RECALL)
    bench.notes.append(
        f"(c): the judge calls {verdicts.mean():.0%} of {len(verdicts):,} texts risky; the gate (threshold "
        f"{threshold:.4f}, from a survey of {_SURVEY:,}) lets {above.mean():.0%} of them through, and {len(seen)} of "
        f"the {len(texts)} that are timed. The survey costs {_SURVEY:,} documents whatever the corpus: not counted."
    )


def _judge(bench: Bench, texts: list[str]) -> np.ndarray:
    """Probability that a text is toxic: logistic regression on MiniLM's mean state, trained on Jigsaw's comments."""
    from sklearn.linear_model import LogisticRegression

    with gzip.open(bench.data / "jigsaw/jigsaw_binary_subset.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][:_EXAMPLES]
    features = _states([row["text"] for row in rows])
    fitted = LogisticRegression(max_iter=500).fit(features, [row["toxic"] for row in rows])
    return fitted.predict_proba(_states(texts))[:, 1].astype(np.float32)


def _states(texts: list[str]) -> np.ndarray:
    """[texts, width]: the mean of MiniLM's last layer over at most 256 tokens."""
    import torch
    from detoxify_speed import _tokenizer_folder
    from transformers import AutoModel, AutoTokenizer

    folder = _tokenizer_folder()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        batch = tokenizer([texts[row] for row in rows], padding=True, truncation=True, max_length=256,
                          return_tensors="pt")  # fmt: skip
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        found[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return found


def _gate(bench: Bench, texts: list[str], risky: np.ndarray):  # noqa: ANN202 (a closure)
    """A fastText model that has learnt the judge's verdicts, as a function from texts to scores."""
    from curation.fasttext_training.spec import FasttextStageSpec
    from curation.fasttext_training.stage import FASTTEXT
    from curation.scorers import load_scorer
    from curation.scorers.fasttext import FasttextScorerSpec
    from infra.stage import run_stage

    file = bench.out / "verdicts.jsonl"
    labelled = zip(texts, risky.tolist(), strict=True)
    file.write_text("".join(json.dumps({"text": text, "is": str(label)}) + "\n" for text, label in labelled))
    spec = FasttextStageSpec.model_validate({
        "name": "gate", "held_out": 0.1, "training": {"dim": 16, "epoch": 15, "wordNgrams": 2, "minn": 3, "maxn": 5},
        "examples": [{"source": {"path": str(file)}, "label_key": "is", "names": {"True": "risky", "False": "clean"}}],
    })  # fmt: skip
    artifact = run_stage(FASTTEXT, spec, bench.out / "gate", quiet=True)
    scorer = load_scorer(FasttextScorerSpec(model=str(artifact.path), labels={"toxicity": "risky"}))
    return lambda each: scorer.score(each)[:, 0]


def _tagger(bench: Bench):  # noqa: ANN202 (a closure)
    """The trained tagger of (d)."""
    from curation.tagger_training.spec import TaggerTrainingSpec
    from curation.tagger_training.stage import TAGGER
    from curation.taggers import make_tagger
    from curation.taggers.lexical import LexicalTaggerSpec
    from infra.spec import load_spec
    from infra.stage import run_stage

    file = Path(__file__).parents[1] / "taggers" / "lexical.yaml"
    _, spec = load_spec(file, {"tagger": lambda: TaggerTrainingSpec})
    tagger = make_tagger(LexicalTaggerSpec(path=str(run_stage(TAGGER, spec, bench.out / "lexical", quiet=True).path)))
    return tagger.tag
