"""Tokens a second of decoding: plain, ITI and SASA against `transformers.generate`, on one random model, in one run.

    python -m benchmarks.training.decoding --preset olmo-1b > benchmarks/results/decoding.md     # on a GPU, about a
    minute python -m benchmarks.training.decoding --rehearse                                            # small; a CPU
    does

Random weights cost what trained ones do. The ways take turns, and the median of `--rounds` counts. Of packages it wants
torch, transformers and pydantic: none of datatrove, polars and plotly is imported.
"""

from __future__ import annotations

import argparse
import statistics
import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.methods.options import ItiArgs, SasaArgs
from posttrain.model import CausalModel, wrap
from posttrain.steered import Steered, bind
from pretrain.huggingface.config import hf_config
from pretrain.model.architecture import Architecture
from pretrain.runtime.device import device_name
from pretrain.spec import ModelSpec

BATCHES = ((1, 64), (32, 64), (256, 32))  # rows, tokens of each
PEER = "transformers.generate"
_CONTEXT = 2048
_VOCABULARY = 50280


@dataclass(frozen=True)
class Speed:
    """One way to decode at one batch size; `seconds` is the median."""

    way: str
    rows: int
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def tokenizer() -> Any:
    """Bytes and an end-of-text token: the model is random, so only the lengths of prompts matter."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    end = "<|endoftext|>"
    alphabet = [end, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end, pad_token=end, padding_side="left")


def random_model(preset: str) -> CausalModel:
    """An OLMo with random weights where models are put by default: in bfloat16 on a GPU, in float32 on a CPU."""
    from transformers import OlmoConfig, OlmoForCausalLM

    cuda = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
    architecture = Architecture.from_spec(ModelSpec(preset=preset), _VOCABULARY, _CONTEXT)
    torch.manual_seed(0)
    with torch.device(device):
        network = OlmoForCausalLM(OlmoConfig(**hf_config(architecture, 0, "bfloat16")))
    return wrap(network.to(device, dtype).eval(), tokenizer(), "random")


def steerings(model: CausalModel) -> dict[str, Steered]:
    """Methods as if fitted: random directions, 30 heads, 20 candidates."""
    layout, draw = model.layout, torch.Generator().manual_seed(0)
    heads = (layout.layers, layout.heads)
    order = torch.rand(heads, generator=draw)
    chosen = (order >= order.flatten().topk(min(30, order.numel() // 2)).values[-1]).float()
    theta = torch.randn(*heads, layout.head_dim, generator=draw) / layout.head_dim**0.5
    iti = Fitted.of(model, ItiArgs(), {"theta": theta, "sigma": torch.full(heads, 0.01), "chosen": chosen})
    normal = torch.randn(layout.hidden, generator=draw) / layout.hidden**0.5
    sasa = Fitted.of(model, SasaArgs(), {"normal": normal, "centre": torch.zeros(layout.hidden)})
    return {"plain": bind(model, None, 0), "iti": bind(model, iti, 4), "sasa": bind(model, sasa, 100)}


def prompts(count: int) -> list[str]:
    """Texts of 12 to 28 bytes, which are as many tokens."""
    draw = np.random.default_rng(0)
    letters = np.array(list(string.ascii_lowercase))
    return ["".join(draw.choice(letters, draw.integers(12, 29))) for _ in range(count)]


def ours(steered: Steered, texts: Sequence[str], steps: int) -> int:
    """Tokens written, end-of-text tokens counted."""
    out = steered.generate(texts, Sampling(max_new_tokens=steps))
    return sum(len(one.tokens) + one.ended for row in out for one in row)


@torch.inference_mode()
def theirs(model: CausalModel, texts: list[str], steps: int) -> int:
    """The same sampling by `transformers`, which is told never to end a text."""
    batch = model.tokenizer(texts, return_tensors="pt", padding=True)
    ids, mask = batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device)
    sampling = {"do_sample": True, "top_p": 0.9, "top_k": 0, "max_new_tokens": steps, "min_new_tokens": steps}
    written = model.network.generate(ids, attention_mask=mask, pad_token_id=model.end, **sampling)
    model.tokenizer.batch_decode(written)
    return (written.shape[1] - ids.shape[1]) * len(texts)


def timed(way: Callable[[], int]) -> tuple[int, float]:
    """Tokens and seconds; both ways end in Python lists, so nothing is left running on the device."""
    started = time.perf_counter()
    tokens = way()
    return tokens, time.perf_counter() - started


def measure(model: CausalModel, rows: int, steps: int, rounds: int) -> list[Speed]:
    """Every way at one batch size, in turns; the first turn warms up."""
    texts, ways = prompts(rows), dict[str, Callable[[], int]]()
    for name, steered in steerings(model).items():
        ways[name] = lambda steered=steered: ours(steered, texts, steps)  # type: ignore[misc]
    ways[PEER] = lambda: theirs(model, texts, steps)
    results: dict[str, list[tuple[int, float]]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            results[name].append(timed(way))
    return [
        Speed(name, rows, turns[-1][0], statistics.median(second for _, second in turns[1:]))
        for name, turns in results.items()
    ]


def report(model: CausalModel, speeds: list[Speed]) -> str:
    """The figures as Markdown."""
    peers = {speed.rows: speed for speed in speeds if speed.way == PEER}
    lines = [
        f"| {speed.rows} | {speed.way} | {speed.tokens} | {speed.seconds:.2f} | {speed.rate:,.0f} "
        f"| {speed.rate / peers[speed.rows].rate:.2f} |"
        for speed in speeds
    ]
    parameters = sum(weight.numel() for weight in model.network.parameters())
    head = [
        "# Decoding",
        "",
        f"`python -m benchmarks.training.decoding`: {parameters:,} random parameters, "
        f"{model.network.dtype}, {device_name()}, "
        f"torch {torch.__version__}.",
        "",
        f"| rows | way | tokens | s | tokens/s | times {PEER} |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *lines])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="olmo-1b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rehearse", action="store_true", help="a tiny model, one round")
    options = parser.parse_args()
    model = random_model("olmo-tiny" if options.rehearse else options.preset)
    speeds = [
        speed
        for rows, steps in (((1, 8), (4, 8)) if options.rehearse else BATCHES)
        for speed in measure(model, rows, steps, 1 if options.rehearse else options.rounds)
    ]
    print(report(model, speeds))


if __name__ == "__main__":
    main()
