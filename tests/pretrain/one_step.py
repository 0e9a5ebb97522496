"""One step without an update, under torchrun or alone: writes the loss and every gradient in Hugging Face layout.

python one_step.py SPEC_JSON FOLDER OUT.pt
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from infra.stage import Workspace
from pretrain.distributed import process_groups
from pretrain.inputs import open_inputs
from pretrain.spec import PretrainSpec
from pretrain.train import Run
from pretrain.weights import gather


def main(spec: PretrainSpec, folder: Path, out: Path) -> None:
    with process_groups(spec.parallel, spec.seed):
        run = Run(spec, open_inputs(spec), Workspace(folder, folder, quiet=True))
        sums = run.trainer.accumulate(run._epoch(0), 0).over_ranks()
        with torch.no_grad():
            for parameter in run.trainer.model.parameters():
                parameter.copy_(parameter.main_grad)
        gradients = gather(run.trainer.model, run.inputs.shape)
        if gradients is not None:
            torch.save(
                {"loss": float(sums.loss / sums.denominator), "tokens": int(sums.tokens.sum()), **gradients}, out
            )


if __name__ == "__main__":
    main(PretrainSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
