"""A roberta-base classifier on a GPU: ours, Detoxify as shipped, and the tokenizer alone, in one run.

    python -m benchmarks.scoring.gpu_scoring --texts comments.jsonl.gz --tokenizer tokenizer.json
    python -m benchmarks.scoring.gpu_scoring --texts comments.jsonl.gz --tokenizer tokenizer.json --rehearse   # a CPU
    does

The weights are random, which costs the same time; scores are compared with Detoxify's own way in float32. It leaves
with 1 below 20 times Detoxify or .6 of the tokenizer's rate, and where a score is further off than its tolerance.
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
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from curation.scorers.transformers import Transformers

CLASSES = ("toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit")
TIMES_DETOXIFY, OF_TOKENIZER = 20, 0.6
_TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
_THEIRS = 32  # texts of a batch, as Detoxify's own command line has it
_LIMIT = 512


@dataclass(frozen=True)
class Rate:
    """Texts and tokens a second of one way."""

    what: str
    texts: int
    tokens: int
    seconds: float

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def read(file: Path, size: int) -> list[str]:
    """So many distinct texts; a file that holds fewer is read again with a number before each text."""
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8") as lines:
        texts = list(dict.fromkeys(json.loads(line)["text"] for line in islice(lines, size)))
    more = (text if turn == 0 else f"{turn} {text}" for turn in count() for text in texts)
    return list(islice(more, size))


def save_model(folder: Path, tokenizer: Path, tiny: bool) -> Any:
    """A random classifier with Detoxify's classes; returns its tokenizer."""
    import torch
    from transformers import AutoTokenizer, PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

    if tokenizer.is_dir():
        fast = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    else:
        fast = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), pad_token=_padding(tokenizer))
    fast.model_max_length = _LIMIT
    fast.save_pretrained(folder)
    pad = fast.pad_token_id
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}
    config = RobertaConfig(
        vocab_size=len(fast), max_position_embeddings=_LIMIT + pad + 1, type_vocab_size=1, pad_token_id=pad,
        problem_type="multi_label_classification", **names, **(_TINY if tiny else {}),
    )  # fmt: skip
    torch.manual_seed(0)
    model = RobertaForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.out_proj.weight *= 15  # as drawn, all scores lie within .05 of each other
    model.save_pretrained(folder)
    return fast


def _padding(tokenizer: Path) -> str:
    """The token of the file that pads, by its name; else the first special one."""
    added = [token["content"] for token in json.loads(tokenizer.read_text(encoding="utf-8"))["added_tokens"]]
    return next((token for token in added if "pad" in token.lower()), added[0])


def detoxify(folder: Path, tokenizer: Any, device: str) -> Callable[[list[str]], np.ndarray]:
    """What `Detoxify.predict` does with a list of texts, called for 32 of them at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).to(device).eval()

    @torch.no_grad()
    def predict(texts: list[str]) -> np.ndarray:
        inputs = tokenizer(texts, return_tensors="pt", truncation=True, padding=True).to(device)
        inputs.pop("token_type_ids", None)
        return torch.sigmoid(model(**inputs)[0]).cpu().detach().numpy()

    return lambda texts: np.concatenate([predict(texts[n : n + _THEIRS]) for n in range(0, len(texts), _THEIRS)])


def ours(folder: Path, batch_tokens: int | str, **options: Any) -> Transformers:
    """Our scorer of the same files, its batch chosen, its model on the device."""
    from curation.scorers.options import TransformersSpec
    from curation.scorers.transformers import Transformers

    spec = TransformersSpec(model="org/random", folder=str(folder), batch_tokens=batch_tokens, **options)
    return Transformers.load(spec)


def chunks(texts: list[str], size: int) -> Iterator[list[str]]:
    """Texts as a curation hands them over."""
    yield from (texts[start : start + size] for start in range(0, len(texts), size))


def timed(what: str, work: Callable[[list[str]], Any], texts: list[str], tokens: int, rounds: int) -> tuple[Rate, Any]:
    """The fastest of some rounds after one over a few texts, and what it returned."""
    work(texts[:256])
    best, result = float("inf"), None
    for _ in range(rounds):
        start = time.perf_counter()
        result = work(texts)
        best = min(best, time.perf_counter() - start)
    print(f"{what}: {tokens / best:,.0f} tokens/s", file=sys.stderr, flush=True)
    return Rate(what, len(texts), tokens, best), result


def measure(options: argparse.Namespace, folder: Path) -> int:
    """Print the table; returns 1 where an aim is missed."""
    import torch

    from curation.classify.number_formats import TOLERANCE
    from curation.classify.windows import Cutter

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = save_model(folder, options.tokenizer, options.rehearse)
    texts = read(options.texts, options.size)
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True)["input_ids"]]
    few = texts[: options.theirs]

    def alone(sample: list[str]) -> Any:
        return tokenizer(sample, truncation=True)

    def rate(what: str, work: Callable[[list[str]], Any], sample: list[str] = texts) -> tuple[Rate, Any]:
        return timed(what, work, sample, sum(lengths[: len(sample)]), options.rounds)

    start = time.perf_counter()
    auto, small = ours(folder, "auto"), ours(folder, 2048)
    chosen = f"{time.perf_counter() - start:.1f} s to load and choose: {auto.precision}, {auto.batch_tokens:,} tokens"
    shipped, expected = rate("Detoxify as shipped: 32 texts, float32", detoxify(folder, tokenizer, device), few)
    tokenizing, _ = rate("tokenizer alone", alone)
    cutting, _ = rate("tokenizer alone, cut into windows as ours", Cutter(tokenizer, _LIMIT, 32))
    best, scores = rate(f"ours, batch_tokens: auto ({auto.batch_tokens:,})", _through(auto))
    fixed, _ = rate("ours, batch_tokens: 2048", _through(small), few)
    whole = np.array(lengths[: len(few)]) < _LIMIT  # longer texts are cut by Detoxify, and read to their end by us
    away = float(np.abs(scores[: len(few)] - expected)[whole].max(initial=0.0))
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, {os.cpu_count()} cores, torch {torch.__version__}; {chosen}\n")
    print("| way | texts | tokens | seconds | tokens/s | × Detoxify | of the tokenizer's rate |")
    print("|---|---|---|---|---|---|---|")
    for way in (shipped, fixed, best, tokenizing, cutting):
        print(f"| {way.what} | {way.texts:,} | {way.tokens:,} | {way.seconds:.2f} | {way.speed:,.0f} "
              f"| {way.speed / shipped.speed:.2f} | {way.speed / tokenizing.speed:.2f} |")  # fmt: skip
    print(f"\nlargest difference of a score from Detoxify's way: {away:.5f} (at most {TOLERANCE[auto.precision]:g})")
    reached = best.speed >= max(TIMES_DETOXIFY * shipped.speed, OF_TOKENIZER * tokenizing.speed)
    return 0 if away <= TOLERANCE[auto.precision] and (reached or options.rehearse) else 1


def _through(scorer: Transformers) -> Callable[[list[str]], np.ndarray]:
    return lambda texts: np.concatenate(list(scorer.score_all(chunks(texts, scorer.texts_together))))


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="JSON Lines with `text`, .gz or plain")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json, or a tokenizer's folder")
    parser.add_argument("--size", type=int, help="texts [64,000]")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rehearse", action="store_true", help="a tiny model and few texts: does it run at all?")
    options = parser.parse_args()
    options.size = options.size or (512 if options.rehearse else 64_000)
    options.theirs = min(options.size, 256 if options.rehearse else 4000)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HORMESIS_CACHE"] = folder  # what was chosen before is not used
        return measure(options, Path(folder, "model"))


if __name__ == "__main__":
    sys.exit(main())
