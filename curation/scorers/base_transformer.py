"""What scorers that are transformer classifiers share: windows, buckets, precision, and access for attribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from curation.classify.engines import Engine, Precision, TorchEngine
from curation.classify.windows import buckets, cut, padded
from curation.scorers.base import Scorer, ScorerSpec
from infra.errors import UnavailableError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_SHIFTED = ("roberta", "camembert", "longformer", "mpnet", "data2vec")  # positions begin after that of padding
_LONGEST = 512


class TransformerSpec(ScorerSpec):
    """How a transformer classifier is computed."""

    precision: Precision = "float32"
    """Number format of the weights. int8 rounds a batch's numbers with one common scale, so a text's score depends a
    little on its neighbours."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is computed; auto takes a GPU if there is one."""
    threads: int = Field(1, ge=1)
    """Processor cores that one worker uses. One worker per core with one thread each does more than one with many."""
    batch_tokens: int = Field(2048, ge=64)
    """Tokens, padding included, that are scored at once; about 2,000 is fastest on a CPU."""
    window: int | None = Field(None, ge=16)
    """Tokens of a text that are read at once; by default what the model can read, at most 512."""
    overlap: int = Field(32, ge=0)
    """Tokens that the next window of a longer text repeats."""


@dataclass(frozen=True)
class Outputs:
    """How a model's logits become scores: the function, and the classes that make up each attribute."""

    activation: Literal["sigmoid", "softmax"]
    classes: dict[str, tuple[int, ...]]

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores [n, attributes] in float32; can be differentiated."""
        import torch

        logits = logits.float()
        each = torch.sigmoid(logits) if self.activation == "sigmoid" else torch.softmax(logits, dim=-1)
        return torch.stack([each[..., list(which)].sum(-1) for which in self.classes.values()], dim=-1).clamp(0, 1)


class TransformerScorer(Scorer):
    """A sequence classifier. A subclass's `load` finds the files; attribution uses `model` and `probabilities`.

    A text longer than the window is scored window by window and the highest score of each attribute counts.
    """

    tokenizer: Any
    """A fast tokenizer of transformers; gives offsets."""
    window: int
    """Most tokens, special tokens included, that the model is given at once."""

    def __init__(
        self, spec: TransformerSpec, identity: str, tokenizer: Any, outputs: Outputs, make_model: Callable[[], Any]
    ) -> None:
        import torch

        self.device: Literal["cpu", "cuda"] = _device(spec)
        if self.device == "cpu":
            torch.set_num_threads(spec.threads)
        model = make_model().eval()
        self.identity, self.attributes, self.tokenizer = identity, tuple(outputs.classes), tokenizer
        self.window = _window(spec, model.config, tokenizer)
        self._spec, self._outputs, self._make_model = spec, outputs, make_model
        self._overlap = min(spec.overlap, self.window // 2)
        self._engine: Engine = TorchEngine(model, spec.precision, self.device)

    @cached_property
    def model(self) -> Any:
        """The model in float32, for gradients, whatever precision texts are scored in. Made when first asked for."""
        return self._make_model().eval().to(self.device)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The model's logits [n, classes] as scores [n, attributes]; can be differentiated."""
        return self._outputs.probabilities(logits)

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np
        import torch

        windows = cut(self.tokenizer, texts, self.window, self._overlap)
        scores = np.full((len(windows.ids), len(self.attributes)), np.nan, dtype=np.float32)
        for rows in buckets(list(map(len, windows.ids)), self._spec.batch_tokens):
            logits = self._engine.logits(*padded([windows.ids[row] for row in rows], self.tokenizer.pad_token_id or 0))
            scores[rows] = self.probabilities(torch.from_numpy(logits)).numpy()
        return np.stack([scores[list(of_text)].max(axis=0) for of_text in windows.of_text])  # a NaN stays a NaN


def options_that_count(spec: TransformerSpec) -> dict[str, Any]:
    """The options that change scores: what enters a fingerprint beside the weights."""
    return spec.model_dump(mode="json", include={"precision", "device", "batch_tokens", "window", "overlap"})


def _device(spec: TransformerSpec) -> Literal["cpu", "cuda"]:
    import torch

    if spec.device == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(f"scorer {spec.name}: device is cuda, and this machine has no GPU; say device: cpu")
    return "cuda" if spec.device != "cpu" and torch.cuda.is_available() else "cpu"


def _window(spec: TransformerSpec, config: Any, tokenizer: Any) -> int:
    positions = int(getattr(config, "max_position_embeddings", None) or _LONGEST)
    shift = 2 if any(name in config.model_type for name in _SHIFTED) else 0
    return min(spec.window or _LONGEST, positions - shift, int(tokenizer.model_max_length))
