"""A fitted steering method on disk: `steering.safetensors` for tensors, `steering.json` for everything else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from infra.artifacts.artifact import is_artifact
from infra.artifacts.inputs import open_input
from infra.artifacts.records import from_json
from infra.atomic import atomic_path, write_json
from infra.errors import ArtifactError, InputError
from posttrain.methods.options import AnyMethod, MethodArgs
from posttrain.model import CausalModel, HeadLayout

TENSORS, RECORD = "steering.safetensors", "steering.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class FitFacts:
    """What a fit says of itself beside its tensors; None where the method has no such thing."""

    texts: int | None = None
    """Labelled texts that it was fitted on."""
    boundary_accuracy: float | None = None
    """Cross-validated accuracy of the boundary between benign and toxic hidden states."""
    prompt_tokens: int | None = None
    head_accuracy: tuple[tuple[float, ...], ...] | None = None
    """Validation accuracy of each head's probe, layer by layer."""
    chosen_heads: tuple[tuple[int, int], ...] | None = None
    """(layer, head) of the heads that are edited."""
    layer_accuracy: tuple[float, ...] | None = None
    """Validation accuracy of each layer's probe on the residual stream after it."""
    chosen_layers: tuple[int, ...] | None = None
    """Layers after which the residual stream is edited."""
    attribute_accuracy: dict[str, float] | None = None
    """`boundary_accuracy` by attribute, where there are several."""
    models: dict[str, str] | None = None
    """Fingerprint of each further model, by the key of the arguments that says where it is."""
    listed_words: int | None = None
    """Words and phrases of a list."""
    reward_accuracy: float | None = None
    """Cross-validated accuracy of a fitted reward."""

    @property
    def figures(self) -> dict[str, int | float]:
        """Those that are one number, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, (int, float))}


@dataclass(frozen=True)
class Fitted:
    """What fitting gave: the arguments, float32 `tensors` by name, and facts.

    `model` is the fingerprint of the model it was fitted on and `layout` that model's heads.
    """

    args: MethodArgs
    tensors: dict[str, torch.Tensor]
    facts: FitFacts
    model: str
    layout: HeadLayout

    @staticmethod
    def of(
        model: CausalModel, args: MethodArgs, tensors: dict[str, torch.Tensor], facts: FitFacts | None = None
    ) -> Fitted:
        """Fitted on `model` with `args`."""
        # safetensors refuses tensors that are not contiguous, and a fit on a GPU in bfloat16 must serve a CPU too.
        stored = {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}
        return Fitted(args, stored, facts or FitFacts(), model.fingerprint, model.layout)

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.args.name

    def check_fits(self, model: CausalModel, transfer: bool = False) -> None:
        """Raise InputError where the tensors cannot belong to `model`, or were fitted on another one.

        With `transfer` another model is what is meant, and it only has to have the same heads.
        """
        if not self.tensors:
            return
        if self.layout != model.layout:
            raise InputError(
                f"this {self.method} steering was fitted on a model with {self.layout}, and the model here has "
                f"{model.layout}; fit it on this model with `kind: posttrain`"
            )
        if self.model != model.fingerprint and not transfer:
            raise InputError(
                f"this {self.method} steering was fitted on another model (fingerprint {self.model[:12]}, and here "
                f"{model.fingerprint[:12]}); fit it on this one, or say `transfer` where that is what you study"
            )


@dataclass(frozen=True)
class _Record:
    """`steering.json`: a Fitted without its tensors."""

    format: int
    args: AnyMethod
    model: str
    layout: HeadLayout
    facts: FitFacts = field(default_factory=FitFacts)


@dataclass(frozen=True)
class _Format:
    """What is read of a `steering.json` before anything else."""

    format: int


def save_fitted(folder: Path, fitted: Fitted) -> None:
    """Write both files, each atomically; equal input gives equal bytes."""
    with atomic_path(folder / TENSORS) as temporary:
        save_file(fitted.tensors, temporary)
    record = {
        "format": FORMAT,
        "method": fitted.method,
        "args": fitted.args.model_dump(mode="json"),
        "facts": {name: value for name, value in vars(fitted.facts).items() if value is not None},
        "model": fitted.model,
        "layout": asdict(fitted.layout),
    }
    write_json(folder / RECORD, record)


def load_fitted(location: str | Path) -> Fitted:
    """Read a steering folder. Raises InputError where there is none, ArtifactError where it is damaged."""
    folder = Path(location)
    if is_artifact(folder):
        open_input(folder, "posttrain")
    file = folder / RECORD
    try:
        text = file.read_bytes()
        tensors = load_file(folder / TENSORS)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder}: no {RECORD} and {TENSORS}; make them with `kind: posttrain`") from None
    except (ValueError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: the steering files are damaged ({error}); run the stage again") from None
    if from_json(_Format, text, file).format != FORMAT:
        raise ArtifactError(f"{file}: not in the format this hormesis reads ({FORMAT})")
    record = from_json(_Record, text, file)
    return Fitted(record.args, tensors, record.facts, record.model, record.layout)
