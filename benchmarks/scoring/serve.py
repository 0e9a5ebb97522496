"""`hormesis score --serve` under load: requests a second and their times, against calls of the scorer without a server.

    python -m benchmarks.scoring.serve --texts ../shared/data/toxic_corpus/toxic_comments.jsonl.gz

For `profanity` and for a transformer of BERT-tiny's size with random weights, which cost the same time as trained ones.
The clients are a process of their own; each asks over one connection, and again when it is answered. It leaves with 1
where an answer is missing or its score is not the scorer's own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from benchmarks.scoring.ask import Answered, ask_all
from curation.filter.text_scoring import TextScoring, prepare_scoring
from tests.helpers.servers import Server, allow_files, serving

CLIENTS = (1, 32, 1000)
_LONGEST = 1000  # characters of a text, as a generation or a comment has them
_TOLERANCE = 1e-4  # of a transformer in float32, from one batch to another
_HEAD = """\
| way | texts a second | median, ms | 99 % within, ms | CPU, ms a text | times a call each | in CPU time |
|---|---|---|---|---|---|---|"""
_NOTE = """\
Clients ask again as soon as they are answered: of 1,000, one is answered when the others have been, and its time is
that of 1,000 texts. CPU time is the scoring process's own; other work on the machine changes it less than the clock."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One way of asking: seconds of the clock and of the scoring process's processors, and times of single answers."""

    way: str
    texts: int
    wall: float
    processor: float
    middle: float
    late: float

    def cells(self, alone: Row) -> str:
        """A line of the table; `alone` is a call of the scorer for each text."""
        per_text = self.processor / self.texts
        return (f"| {self.way} | {self.texts / self.wall:,.0f} | {self.middle * 1000:.1f} | {self.late * 1000:.1f} "
                f"| {per_text * 1000:.2f} | {alone.wall / alone.texts / (self.wall / self.texts):.2f} "
                f"| {alone.processor / alone.texts / per_text:.2f} |")  # fmt: skip


def random_classifier(folder: Path, texts: list[str]) -> Path:
    """Two layers of 128, as BERT-tiny has them, and a vocabulary of the texts' commonest words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=8000, special_tokens=["[PAD]", "[UNK]"]))
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **named)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    names = {"id2label": {0: "clean", 1: "toxicity"}, "label2id": {"clean": 0, "toxicity": 1}}
    config = BertConfig(vocab_size=len(fast), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=512, initializer_range=0.2, **names)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def texts_of(file: Path, size: int) -> list[str]:
    """So many distinct texts that `profanity` can score."""
    scoring = prepare_scoring("profanity", False, False, "words", None, 200)

    def readable() -> Iterator[str]:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                text = json.loads(line)["text"][:_LONGEST]
                if text.strip() and not scoring.score([text], False)[0].unscored:
                    yield text

    return list(islice(dict.fromkeys(islice(readable(), 2 * size)), size))


def called(way: str, texts: list[str], work: Callable[[], object]) -> Row:
    """Without a server, in this process."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Row(way, len(texts), wall, processor, wall / len(texts), wall / len(texts))


def served(server: Server, pool: ProcessPoolExecutor, clients: int, texts: list[str]) -> tuple[Row, list[Answered]]:
    """Over HTTP, by clients in another process."""
    before, start = _processor(server), time.perf_counter()
    answers = pool.submit(ask_all, server.port, clients, texts).result()
    wall, processor = time.perf_counter() - start, _processor(server) - before
    seconds = sorted(answer.seconds for answer in answers)
    middle, late = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
    return Row(f"server, {clients:,} clients", len(texts), wall, processor, middle, late), answers


def _processor(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measure(section: str, texts: list[str], rounds: int) -> tuple[list[Row], int]:
    """The rows of a scorer, the first of them a call for each text, and how many answers were not the scorer's own."""
    scoring = prepare_scoring(section, False, False, "words", None, 200)
    own, few = together(scoring, texts), texts[: max(1, len(texts) // 10)]
    command = ("hormesis", "score", "--scorer", section, "--serve", "--port", "0")
    rows: list[list[Row]] = []
    wrong = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
        serving(Path(folder, "log"), *command) as server,
    ):
        pool.submit(ask_all, server.port, 1, texts[:10]).result()
        for _ in range(rounds):
            row = [called("a call for each text", few, lambda: [scoring.score([text], False) for text in few]),
                   called("calls of as many as the scorer likes", texts, lambda: together(scoring, texts))]  # fmt: skip
            for clients in CLIENTS:
                one, answers = served(server, pool, clients, texts if clients > 1 else few)
                row.append(one)
                wrong += sum(answer.status != 200 or abs(answer.value - expected) > _TOLERANCE
                             for answer, expected in zip(answers, own, strict=False))  # fmt: skip
            rows.append(row)
    return [min(of_way, key=lambda one: one.wall / one.texts) for of_way in zip(*rows, strict=True)], wrong


def together(scoring: TextScoring, texts: list[str]) -> list[float]:
    """Scores of texts, as many in a call as the scorer likes."""
    step = scoring.together
    batches = (texts[start : start + step] for start in range(0, len(texts), step))
    return [scored.scores["toxicity"] for batch in batches for scored in scoring.score(batch, False)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="JSON Lines with `text`, gzip")
    parser.add_argument("--size", type=int, default=2000, help="texts")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not allow_files(4 * max(CLIENTS)):
        print("this process may not open enough files", file=sys.stderr)
        return 1
    texts = texts_of(options.texts, options.size)
    mean, load = sum(map(len, texts)) / len(texts), os.getloadavg()[0]
    print(f"""# `hormesis score --serve` under load

`python -m benchmarks.scoring.serve --texts FILE --size {options.size} --rounds {options.rounds}`: {len(texts):,} texts
of {mean:.0f} characters on average, a tenth of them where they go one by one; fastest of {options.rounds} rounds;
{os.cpu_count()} cores, which clients and server share; load by other work before: {load:.1f}.""")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        model = random_classifier(Path(folder, "tiny"), texts)
        section = f'{{name: transformers, model: random/tiny, folder: "{model}", precision: float32}}'
        for name, scorer in (("profanity", "profanity"), ("a transformer, 2 layers of 128, float32", section)):
            rows, bad = measure(scorer, texts, options.rounds)
            wrong += bad
            print(f"\n## {name}\n\n{_HEAD}")
            for row in rows:
                print(row.cells(rows[0]), flush=True)
    print(f"\nAnswers that were missing, refused or not the scorer's own: {wrong}.\n\n{_NOTE}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
