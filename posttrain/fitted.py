"""A fitted steering method on disk: `steering.safetensors` for tensors, `steering.json` for everything else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from infra.artifacts.artifact import is_artifact
from infra.artifacts.inputs import open_input
from infra.atomic import atomic_path, write_json
from infra.config.spec import Spec
from infra.errors import ArtifactError, InputError
from posttrain.model import CausalModel, HeadLayout

TENSORS, RECORD = "steering.safetensors", "steering.json"
FORMAT = 1


@dataclass(frozen=True)
class Fitted:
    """What fitting gave: float32 `tensors` by name, and `facts` (accuracies, counts) that JSON can hold.

    `model` is the fingerprint of the model it was fitted on and `layout` that model's heads.
    """

    method: str
    args: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]
    model: str
    layout: HeadLayout

    @staticmethod
    def of(model: CausalModel, args: Spec, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> Fitted:
        """Fitted on `model` with `args`."""
        values = args.model_dump(mode="json")
        kept = {name: value.detach().float().cpu().contiguous() for name, value in tensors.items()}
        return Fitted(values["name"], values, kept, facts, model.fingerprint, model.layout)

    def check_fits(self, model: CausalModel) -> None:
        """Raise InputError where the tensors cannot belong to `model`."""
        if self.tensors and self.layout != model.layout:
            raise InputError(
                f"this {self.method} steering was fitted on a model with {_say(self.layout)}, and the model here has "
                f"{_say(model.layout)}; fit it on this model with `kind: posttrain`"
            )


def _say(layout: HeadLayout) -> str:
    return f"{layout.layers} layers x {layout.heads} heads x {layout.head_dim}, hidden size {layout.hidden}"


def save_fitted(folder: Path, fitted: Fitted) -> None:
    """Write both files, each atomically; equal input gives equal bytes."""
    with atomic_path(folder / TENSORS) as temporary:
        save_file(fitted.tensors, temporary)
    record = {"format": FORMAT, **{key: value for key, value in vars(fitted).items() if key != "tensors"}}
    write_json(folder / RECORD, record | {"layout": asdict(fitted.layout)})


def load_fitted(location: str | Path) -> Fitted:
    """Read a steering folder. Raises InputError where there is none, ArtifactError where it is damaged."""
    folder = Path(location)
    if is_artifact(folder):
        open_input(folder, "posttrain")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder}: no {RECORD} and {TENSORS}; make them with `kind: posttrain`") from None
    except (ValueError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: the steering files are damaged ({error}); run the stage again") from None
    if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
        raise ArtifactError(f"{folder / RECORD}: not in the format this hormesis reads ({FORMAT})")
    try:
        return Fitted(**{**record, "layout": HeadLayout(**record["layout"])}, tensors=tensors)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / RECORD}: damaged ({error}); run the stage again") from None
