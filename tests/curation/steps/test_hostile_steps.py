"""Much of what makes an expression go back and forth, for the steps that read a corpus or ask a model.

Covers curation.steps.decontaminate, curation.steps.dedup.exact_dedup, curation.steps.dedup.minhash and
curation.steps.tag.

The steps run as in a curation, less its processes; what is slow for every byte (a transformer) gets less text, and time
of the processor that four times the text may take not much more than four times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from curation.corpus.documents import MARKS, Marks
from curation.steps import STEPS
from curation.steps.decontaminate import build_index
from curation.steps.dedup.exact_dedup import ExactDedup
from curation.steps.dedup.minhash import minhash_steps
from curation.steps.filters.filter_options import LID_176, LID_176_WHEEL
from curation.steps.options import DecontaminateSpec, MinhashSpec
from curation.taggers import TAGGERS, make_tagger
from tests.helpers.classifiers import save_classifier
from tests.helpers.hostile_texts import PROFANITY, SHAPES
from tests.helpers.taggers import save_encoder, train

Work = Callable[[str], object]
QUARTER = 250_000
ALL = {**SHAPES, "reference": "&#" + "1" * (QUARTER - 3) + ";"}


def document(text: str) -> Document:
    return Document(text, "id", metadata={MARKS: Marks("it")})


def stepped(folder: Path, name: str, **options: Any) -> Work:
    """`apply` of a step on one text."""
    kind = STEPS.get(name)
    made = kind(kind.options(step=name, **options))
    context: Any = SimpleNamespace(removed=SimpleNamespace(remove=lambda *removed: None), folder=folder,
                                   shards=[SimpleNamespace(stem="it/00000", corpus="it")],
                                   tagged=frozenset())  # fmt: skip
    return lambda text: list(made.apply(iter([document(text)]), context, 0))


def job(*steps: PipelineStep) -> Work:
    """Steps of datatrove's, one after the other."""

    def run(text: str) -> None:
        documents: Iterator[Any] = iter([document(text)])
        for step in steps:
            documents = step.run(documents, 0, 1)
        for _ in documents or ():
            pass

    return run


def exact_dedup(folder: Path) -> Work:
    spec = ExactDedup.options(step="exact_dedup", finder_workers=1)
    context: Any = SimpleNamespace(name="1-exact_dedup", folder=folder, shards=["it/00000"], documents=lambda: None,
                                   job=lambda _name, *steps, **_options: steps)  # fmt: skip
    _, *steps = ExactDedup(spec).stages(context)[0]  # type: ignore[misc]
    return job(*steps)


def minhash(folder: Path) -> Work:
    return job(minhash_steps(MinhashSpec(), *(str(folder / name) for name in ("signatures", "pairs", "clusters")))[0])


def decontaminate(folder: Path) -> Work:
    (folder / "test.jsonl").write_text('{"text": "What is it that the fox with its long tail jumped over today?"}\n')
    options = {"against": {"test": {"path": str(folder / "test.jsonl")}}}
    build_index(DecontaminateSpec.model_validate(options), str(folder / "index"))
    return stepped(folder, "decontaminate", **options)


def tagger(**options: Any) -> Work:
    made = make_tagger(TAGGERS.get(options["name"]).options.model_validate(options))
    return lambda text: made.tag([text])


def trained(folder: Path, **model: Any) -> Work:
    train(folder, model=model)
    return tagger(name=model["name"], path=str(folder / "tagger"))


WORK: dict[str, Callable[[Path], Work]] = {
    "where": lambda folder: stepped(folder, "where", keep="characters > 10"),
    "language": lambda folder: stepped(folder, "language"),
    "fasttext": lambda folder: stepped(folder, "fasttext", model=LID_176, sha256=LID_176_WHEEL),
    "statistics": lambda folder: stepped(folder, "statistics", blocks=["doc", "line", "paragraph"]),
    "statistics of words": lambda folder: stepped(folder, "statistics", blocks=["word"]),
    "statistics of sentences": lambda folder: stepped(folder, "statistics", blocks=["sentence"]),
    "decontaminate": decontaminate,
    "exact_dedup": exact_dedup,
    "tag": lambda folder: stepped(folder, "tag", tagger={"name": "words", "scorer": PROFANITY}),
    "tagger lexical": lambda folder: trained(folder, name="lexical", hash_bits=14, iterations=60),
}
SLOW: dict[str, tuple[int, Callable[[Path], Work]]] = {
    "minhash": (40_000, minhash),
    "tagger transformer": (
        2_000,
        lambda folder: trained(
            folder, name="transformer", encoder=str(save_encoder(folder / "encoder")), epochs=1, window=32
        ),
    ),
    "tagger attribution": (
        2_000,
        lambda folder: tagger(
            name="attribution",
            scorer={"name": "transformers", "model": "made", "folder": str(save_classifier(folder / "model"))},
        ),
    ),
}
"""What takes long for every character, and the characters that it gets."""


def seconds(work: Work, text: str) -> float:
    """Of the processor; the less of two where it is long, as other work slows down the processor itself."""
    taken: list[float] = []
    while len(taken) < 2 and (not taken or taken[0] > 1):
        started = time.process_time()
        work(text)
        taken.append(time.process_time() - started)
    return min(taken)


def quickest(work: Work, text: str) -> float:
    """The least of two."""
    return min(seconds(work, text), seconds(work, text))


@pytest.mark.parametrize("name", WORK)
def test_a_quarter_of_a_megabyte_of_any_shape_takes_under_a_second(name: str, tmp_path: Path) -> None:
    work = WORK[name](tmp_path)
    work("A text, so that what is loaded once is loaded.")
    assert not [shape for shape, text in ALL.items() if seconds(work, text[:QUARTER]) > 1]


@pytest.mark.parametrize("name", SLOW)
def test_four_times_the_text_takes_about_four_times_the_time(name: str, tmp_path: Path) -> None:
    length, make = SLOW[name]
    work = make(tmp_path)
    work("A text, so that what is loaded once is loaded.")
    steep = [shape for shape, text in ALL.items()
             if quickest(work, text[:length]) > 10 * quickest(work, text[: length // 4]) + 0.1]  # fmt: skip
    assert not steep
