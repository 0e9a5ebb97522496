"""What scorers that are transformer classifiers share: windows, buckets, precision, and access for attribution."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from curation.classify.ahead import CHUNK, DEPTH, Ahead, Queued
from curation.classify.batch_size import ON_CPU, choose_batch
from curation.classify.devices import has_gpu, torch_device
from curation.classify.engines import Engine, TorchEngine, make_engine
from curation.classify.number_formats import LAYERS
from curation.classify.precision import choose
from curation.classify.windows import Cutter, buckets, cut, highest, padded
from curation.scorers.base import Scorer
from curation.scorers.options import Device, Precision, TransformerSpec
from infra.artifacts.fingerprint import digest
from infra.errors import UnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHIFTED = ("roberta", "camembert", "longformer", "mpnet", "data2vec")  # positions begin after that of padding
_LONGEST = 512
_COUNT = ("precision", "device", "batch_tokens", "window", "overlap")  # options that change scores, if only a little
_OPEN = ("auto", "worker")
_MANY = 8192  # documents that a GPU is given together


@dataclass(frozen=True)
class Settled:
    """What depends on the machine, once it has been asked."""

    device: Device
    precision: Precision
    batch_tokens: int


@dataclass(frozen=True)
class Outputs:
    """How a model's logits become scores: the function, and the classes that make up each attribute."""

    activation: Literal["sigmoid", "softmax"]
    classes: dict[str, tuple[int, ...]]

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores [n, attributes] in float32; can be differentiated."""
        logits = logits.float()
        by_class = torch.sigmoid(logits) if self.activation == "sigmoid" else torch.softmax(logits, dim=-1)
        columns = []
        for indices in self.classes.values():  # one by one: a list as an index would be copied to the device
            members = [by_class[..., index] for index in indices]
            columns.append(torch.stack(members, dim=-1).sum(-1))
        return torch.stack(columns, dim=-1).clamp(0, 1)


@dataclass(frozen=True)
class ModelFiles:
    """What a scorer's files hold. `make_model` builds a new model in float32 with each call."""

    called: str
    tokenizer: Any
    outputs: Outputs
    make_model: Callable[[], Any]


class TransformerScorer(Scorer):
    """A sequence classifier. A subclass finds the files; attribution uses `model`, `tokenizer` and `probabilities`.

    A text longer than the window is scored window by window and the highest score of each attribute counts.
    """

    library = "transformers"
    tokenizer: Any
    """A fast tokenizer of transformers; gives offsets."""
    window: int
    """Most tokens, special tokens included, that the model is given at once."""

    def __init__(self, spec: TransformerSpec, model_files: ModelFiles) -> None:
        if spec.device == "cpu":
            torch.set_num_threads(spec.threads)
        self._made: Any = model_files.make_model().eval()
        self.identity = f"{model_files.called}@{self.weights(spec)[:12]}"
        self.attributes, self.tokenizer = tuple(model_files.outputs.classes), model_files.tokenizer
        self.window = _window(spec, self._made.config, model_files.tokenizer)
        self._spec, self._model_files, self._overlap = spec, model_files, min(spec.overlap, self.window // 2)
        if spec.device == "cuda":
            self.documents_together, self.texts_together = _MANY, CHUNK
        if spec.device == "cpu" and _is_settled(spec):
            self._engine  # noqa: B018  # made now: what it lacks is told before a worker starts

    @classmethod
    @abstractmethod
    def model_files(cls, spec: Any) -> ModelFiles:
        """Read the files. Raises InputError, UnavailableError."""

    @staticmethod
    @abstractmethod
    def files(spec: Any) -> str:
        """Checksum of the files, and of the options that say what their numbers mean."""

    @classmethod
    def load(cls, spec: Any) -> TransformerScorer:
        """Load the model; it goes to its device with the first text. Raises InputError, UnavailableError."""
        definite = spec if _is_settled(spec) or _is_deferred(spec) else cls.resolved(spec)
        return cls(definite, cls.model_files(definite))

    @classmethod
    def weights(cls, spec: Any) -> str:
        """Checksum of the files and of the options that change scores, number format and device included. On a GPU the
        size of a batch is not: it is measured, and changes while the memory is short.
        """
        definite = spec if _is_settled(spec) or _is_deferred(spec) else cls.resolved(spec)
        options = definite.model_dump(mode="json", include=set(_COUNT))
        if definite.device != "cpu":
            options["batch_tokens"] = "auto"
        return digest([cls.files(spec), options, LAYERS])

    @classmethod
    def resolved(cls, spec: Any) -> Any:
        """The same with a definite device, precision and batch; measures the machine the first time. Raises
        UnavailableError where a GPU is asked for and there is none.
        """
        device, precision, batch = _device(spec), spec.precision, spec.batch_tokens
        if precision in _OPEN:
            precision = cls._fastest(spec, device)
        if batch == "auto":
            batch = ON_CPU
            if device == "cuda":
                batch = choose_batch(cls.model_files(spec).make_model, cls.files(spec), precision)
        return spec.model_copy(update={"device": device, "precision": precision, "batch_tokens": batch})

    @classmethod
    def deferred(cls, spec: Any) -> Any:
        """The same with `worker` for what only the machine that scores can tell."""
        marked = {name: "worker" for name in ("device", "precision") if getattr(spec, name) == "auto"}
        return spec.model_copy(update=marked) if marked else spec

    @classmethod
    def possible(cls, spec: Any) -> list[Any]:
        """Every device and number format that a worker may choose."""
        devices = get_args(Device) if spec.device == "worker" else (spec.device,)
        formats = get_args(Precision) if spec.precision == "worker" else (spec.precision,)
        if not _is_deferred(spec):
            return [spec]
        batch = ON_CPU if spec.batch_tokens == "auto" else spec.batch_tokens  # on a GPU it makes no difference
        return [
            spec.model_copy(update={"device": device, "precision": precision, "batch_tokens": batch})
            for device, precision in product(devices, formats)
        ]

    @classmethod
    def _fastest(cls, spec: Any, device: Device) -> Precision:
        read = cls.model_files(spec)
        checksum, probabilities = cls.files(spec), read.outputs.probabilities
        return choose(read.make_model, probabilities, read.tokenizer, checksum, spec.threads, device).precision

    @property
    def precision(self) -> Precision:
        """The number format."""
        return _settled(self._spec).precision

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, at most; on a GPU whose memory was too small, what it has come down to."""
        return _settled(self._spec).batch_tokens if self._ahead is None else self._ahead.batch_tokens

    @property
    def device(self) -> str:
        """torch's name of where the model is."""
        return torch_device(self._spec.device)

    @cached_property
    def _engine(self) -> Engine:
        """Made with the first text: who only asks for attributes needs no GPU, and takes no room on one."""
        spec, settled = self._spec, _settled(self._spec)
        _device(spec)
        model, self._made = self._made, None
        return make_engine(model, self.files(spec), settled.precision, settled.device, spec.threads)

    @cached_property
    def _ahead(self) -> Ahead | None:
        """How texts are scored on a GPU; None on a CPU, and with ONNX."""
        engine = self._engine
        if not isinstance(engine, TorchEngine) or engine.device == "cpu":
            return None
        cutter = Cutter(self.tokenizer, self.window, self._overlap)
        return Ahead(cutter, engine, self.probabilities, self._pad, _settled(self._spec).batch_tokens)

    @property
    def _pad(self) -> int:
        return self.tokenizer.pad_token_id or 0

    @cached_property
    def model(self) -> Any:
        """The model in float32, for gradients, whatever precision texts are scored in. Made when first asked for."""
        return self._model_files.make_model().eval().to(self.device)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The model's logits [n, classes] as scores [n, attributes]; can be differentiated."""
        return self._model_files.outputs.probabilities(logits)

    def score_all(self, chunks: Iterable[list[str]]) -> Iterator[NDArray[np.float32]]:
        """See Scorer; on a GPU chunks are tokenised while others are computed."""
        if self._ahead is None:
            yield from super().score_all(chunks)
            return
        for texts, queued in _at_work(self._ahead, chunks):
            yield self._sound(texts, partial(_taken, queued))

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        if self._ahead is not None:
            chunks = (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))
            return np.concatenate([_taken(queued) for _, queued in _at_work(self._ahead, chunks)])
        return self._in_turn(texts)

    def _in_turn(self, texts: list[str]) -> NDArray[np.float32]:
        """Batch by batch, as a CPU does it."""
        windows = cut(self.tokenizer, texts, self.window, self._overlap)
        scores = np.full((len(windows.ids), len(self.attributes)), np.nan, dtype=np.float32)
        for rows in buckets(list(map(len, windows.ids)), _settled(self._spec).batch_tokens):
            logits = self._engine.logits(*padded([windows.ids[row] for row in rows], self._pad))
            scores[rows] = self.probabilities(torch.from_numpy(logits)).numpy()
        return highest(scores, windows)


def _at_work(ahead: Ahead, chunks: Iterable[list[str]]) -> Iterator[tuple[list[str], Future[Queued]]]:
    """Every chunk with its scores to be, when some more have been begun."""
    begun: deque[tuple[list[str], Future[Queued]]] = deque()
    for texts in chunks:
        begun.append((texts, ahead.start(texts)))
        if len(begun) == DEPTH:
            yield begun.popleft()
    yield from begun


def _taken(queued: Future[Queued]) -> NDArray[np.float32]:
    return queued.result().taken()


def _is_settled(spec: TransformerSpec) -> bool:
    return spec.device not in _OPEN and spec.precision not in _OPEN and spec.batch_tokens != "auto"


def _settled(spec: TransformerSpec) -> Settled:
    assert spec.device != "auto" and spec.device != "worker", "resolved before it scores"
    assert spec.precision != "auto" and spec.precision != "worker" and spec.batch_tokens != "auto"
    return Settled(spec.device, spec.precision, spec.batch_tokens)


def _is_deferred(spec: TransformerSpec) -> bool:
    return "worker" in (spec.device, spec.precision)


def _device(spec: TransformerSpec) -> Device:
    there = has_gpu()
    if spec.device == "cuda" and not there:
        raise UnavailableError(f"scorer {spec.name}: device is cuda, and this machine has no GPU; say device: cpu")
    return "cuda" if spec.device != "cpu" and there else "cpu"


def _window(spec: TransformerSpec, config: Any, tokenizer: Any) -> int:
    positions = int(getattr(config, "max_position_embeddings", None) or _LONGEST)
    shift = 2 if any(name in config.model_type for name in _SHIFTED) else 0
    return min(spec.window or _LONGEST, positions - shift, int(tokenizer.model_max_length))
