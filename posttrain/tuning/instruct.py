"""Supervised fine-tuning on a mixture of chats by fractions, as Tulu 3 (Lambert et al. 2024, arXiv 2411.15124)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from curation.corpus.records import RawDocument
from curation.sources.input_files import content_of
from curation.sources.read import read_source
from curation.sources.spec import SourceSpec
from infra.artifacts.fingerprint import digest
from infra.errors import AmountError
from posttrain.tuning.base import IGNORED, Examples, Task, Tuning
from posttrain.tuning.chat import Message, encode_chat, messages_of, spells_special, with_template
from posttrain.tuning.options import ChatSourceSpec, InstructArgs
from posttrain.tuning.texts import drawn

NO_CHAT = "records that are no chat with an answer"


class Instruct(Tuning):
    """Learns the assistant's turns of chats."""

    args = InstructArgs

    @staticmethod
    def inputs(args: InstructArgs) -> dict[str, str]:
        """Of every source."""
        return {f"source-{number}": digest(content_of(_source(spec))) for number, spec in enumerate(args.sources)}

    @staticmethod
    def examples(task: Task, args: InstructArgs) -> Examples:
        """Chats in the tokenizer's template, or in ours, which is then written to the tokenizer."""
        with_template(task.model.tokenizer)
        left_out: Counter[str] = Counter()
        texts = []
        for spec, count in zip(
            args.sources, shares([spec.fraction for spec in args.sources], args.examples), strict=True
        ):
            for messages in _draw(spec, count, task, left_out):
                text = encode_chat(task.model, messages, min(args.max_tokens, task.model.max_positions))
                if all(label == IGNORED for label in text.labels):
                    left_out["chats whose answers lie beyond max_tokens"] += 1
                    continue
                texts.append(text)
        if not texts:
            raise AmountError("no chat to train on: every answer lies beyond max_tokens")
        return Examples(texts=texts, left_out=dict(left_out))

    @staticmethod
    def train(task: Task, args: InstructArgs, examples: Examples) -> Any:
        """With TRL's trainer."""
        from posttrain.tuning.trl_trainers import train_texts

        return train_texts(task, args, examples.text_rows)


def shares(fractions: list[float], total: int) -> list[int]:
    """`total` divided by fractions of their sum, in whole numbers by largest remainders."""
    exact = np.array(fractions) / sum(fractions) * total
    counts = np.floor(exact).astype(int)
    for index in np.argsort(-(exact - counts), kind="stable")[: total - int(counts.sum())]:
        counts[index] += 1
    return [int(count) for count in counts]


def _source(spec: ChatSourceSpec) -> SourceSpec:
    """A source whose text is the response, or any: what counts is what is kept."""
    if spec.messages is None:
        assert spec.prompt is not None and spec.response is not None
        return SourceSpec(path=spec.path, sha256=spec.sha256, text=spec.response, keep=(spec.prompt,))
    return SourceSpec(path=spec.path, sha256=spec.sha256, text=f"{spec.messages}.*.content", keep=(spec.messages,))


def _draw(spec: ChatSourceSpec, count: int, task: Task, left_out: Counter[str]) -> list[tuple[Message, ...]]:
    """`count` chats of a source. Raises AmountError where it has fewer, DataError for a record without the keys."""
    chats = []

    def skip(_: RawDocument, reason: str) -> None:
        left_out[NO_CHAT] += 1

    for document in read_source(_source(spec), on_skip=skip):
        messages = messages_of(_turns(document.metadata, document.text, spec))
        if messages is None:
            left_out[NO_CHAT] += 1
        elif spells_special(task.model.tokenizer, messages):
            left_out["chats that spell a special token"] += 1
        else:
            chats.append(messages)
    if len(chats) < count:
        raise AmountError(
            f"{spec.path}: {len(chats)} chats, and its share of `examples` is {count}; lower `examples` or its fraction"
        )
    return drawn(chats, count, task.spec.seed)


def _turns(metadata: Mapping[str, Any], text: str, spec: ChatSourceSpec) -> Any:
    if spec.messages is not None:
        return metadata.get(spec.messages)
    asked = metadata.get(str(spec.prompt))
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": text}]
