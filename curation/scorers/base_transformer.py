"""What scorers that are transformer classifiers share: windows, buckets, precision, and access for attribution."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from curation.classify.engines import LAYERS, Device, Precision, make_engine
from curation.classify.windows import buckets, cut, padded
from curation.scorers.base import Scorer, ScorerSpec
from infra.errors import UnavailableError
from infra.fingerprint import digest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_SHIFTED = ("roberta", "camembert", "longformer", "mpnet", "data2vec")  # positions begin after that of padding
_LONGEST = 512
_COUNT = ("precision", "device", "batch_tokens", "window", "overlap")  # options that change scores, if only a little


class TransformerSpec(ScorerSpec):
    """How a transformer classifier is computed."""

    precision: Literal["auto"] | Precision = "auto"
    """Number format: float32, bfloat16, int8, onnx or onnx-int8. auto takes the fastest on this machine, measured once
    per model; on a GPU, bfloat16. A score differs from float32's by at most 1e-4 (float32, onnx), 0.02 (bfloat16)
    or 0.1 (8 bits), and as much from the same text's in another batch."""
    device: Literal["auto"] | Device = "auto"
    """Where it is computed; auto takes a GPU if there is one."""
    threads: int = Field(1, ge=1)
    """Processor cores that one worker uses. One worker per core with one thread each does more than one with many."""
    batch_tokens: int = Field(2048, ge=64)
    """Tokens, padding included, that are scored at once; about 2,000 is fastest on a CPU, 32,000 on a GPU."""
    window: int | None = Field(None, ge=16)
    """Tokens of a text that are read at once; by default what the model can read, at most 512."""
    overlap: int = Field(32, ge=0)
    """Tokens that the next window of a longer text repeats; at most half a window."""


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


@dataclass(frozen=True)
class Parts:
    """What a scorer's files hold. `make_model` builds a new model in float32 with each call."""

    called: str
    tokenizer: Any
    outputs: Outputs
    make_model: Callable[[], Any]


class TransformerScorer(Scorer):
    """A sequence classifier. A subclass finds the files; attribution uses `model`, `tokenizer` and `probabilities`.

    A text longer than the window is scored window by window and the highest score of each attribute counts.
    """

    tokenizer: Any
    """A fast tokenizer of transformers; gives offsets."""
    window: int
    """Most tokens, special tokens included, that the model is given at once."""
    device: Device
    """Where the model is."""

    def __init__(self, spec: TransformerSpec, parts: Parts) -> None:
        import torch

        assert spec.device != "auto" and spec.precision != "auto", "resolved before it is loaded"
        if spec.device == "cpu":
            torch.set_num_threads(spec.threads)
        model = parts.make_model().eval()
        key = self.files(spec)
        self.identity = f"{parts.called}@{self.weights(spec)[:12]}"
        self.attributes, self.tokenizer, self.device = tuple(parts.outputs.classes), parts.tokenizer, spec.device
        self.window = _window(spec, model.config, parts.tokenizer)
        self._spec, self._parts, self._overlap = spec, parts, min(spec.overlap, self.window // 2)
        self._engine = make_engine(model, key, spec.precision, spec.device, spec.threads)

    @classmethod
    @abstractmethod
    def parts(cls, spec: Any) -> Parts:
        """Read the files. Raises InputError, UnavailableError."""

    @staticmethod
    @abstractmethod
    def files(spec: Any) -> str:
        """Checksum of the files, and of the options that say what their numbers mean."""

    @classmethod
    def load(cls, spec: Any) -> TransformerScorer:
        """Load the model onto its device. Raises InputError, UnavailableError."""
        definite = cls.resolved(spec)
        return cls(definite, cls.parts(definite))

    @classmethod
    def weights(cls, spec: Any) -> str:
        """Checksum of the files and of the options that change scores, number format and device included."""
        definite = cls.resolved(spec)
        return digest([cls.files(spec), definite.model_dump(mode="json", include=set(_COUNT)), LAYERS])

    @classmethod
    def resolved(cls, spec: Any) -> Any:
        """The same with a definite device and precision; measures the machine the first time."""
        device, precision = _device(spec), spec.precision
        if precision == "auto":
            precision = "bfloat16" if device == "cuda" else cls._fastest(spec)
        return spec.model_copy(update={"device": device, "precision": precision})

    @classmethod
    def _fastest(cls, spec: Any) -> Precision:
        from curation.classify.precision import choose

        parts = cls.parts(spec)
        probabilities = parts.outputs.probabilities
        return choose(parts.make_model, probabilities, parts.tokenizer, cls.files(spec), spec.threads).precision

    @cached_property
    def model(self) -> Any:
        """The model in float32, for gradients, whatever precision texts are scored in. Made when first asked for."""
        return self._parts.make_model().eval().to(self.device)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The model's logits [n, classes] as scores [n, attributes]; can be differentiated."""
        return self._parts.outputs.probabilities(logits)

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np
        import torch

        windows = cut(self.tokenizer, texts, self.window, self._overlap)
        scores = np.full((len(windows.ids), len(self.attributes)), np.nan, dtype=np.float32)
        pad = self.tokenizer.pad_token_id or 0
        for rows in buckets(list(map(len, windows.ids)), self._spec.batch_tokens):
            logits = self._engine.logits(*padded([windows.ids[row] for row in rows], pad))
            scores[rows] = self.probabilities(torch.from_numpy(logits)).numpy()
        return np.stack([scores[list(of_text)].max(axis=0) for of_text in windows.of_text])  # a NaN stays a NaN


def _device(spec: TransformerSpec) -> Device:
    import torch

    if spec.device == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(f"scorer {spec.name}: device is cuda, and this machine has no GPU; say device: cpu")
    return "cuda" if spec.device != "cpu" and torch.cuda.is_available() else "cpu"


def _window(spec: TransformerSpec, config: Any, tokenizer: Any) -> int:
    positions = int(getattr(config, "max_position_embeddings", None) or _LONGEST)
    shift = 2 if any(name in config.model_type for name in _SHIFTED) else 0
    return min(spec.window or _LONGEST, positions - shift, int(tokenizer.model_max_length))
