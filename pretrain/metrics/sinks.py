"""Where the log goes besides log.jsonl: TensorBoard and Weights & Biases, each when its package is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from infra.errors import UnavailableError


class Sink(Protocol):
    """Takes the lines of the log."""

    def write(self, line: Mapping[str, Any]) -> None:
        """One line; its `step` is the horizontal axis."""

    def close(self) -> None:
        """Write out what is held back."""


class TensorBoard:
    """Event files in RUN/tensorboard; lines that a resumed run writes again replace the earlier ones."""

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, line: Mapping[str, Any]) -> None:
        for name, value in scalars(line):
            self._writer.add_scalar(name, value, line["step"])

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """An offline run in RUN/wandb: nothing leaves the machine until `wandb sync` is called on it."""

    def __init__(self, run: Path, name: str, config: Mapping[str, Any]) -> None:
        import wandb

        settings = wandb.Settings(mode="offline", silent=True, x_disable_stats=True, save_code=False)
        self._run = wandb.init(project="hormesis", name=name, dir=str(run), config=dict(config), settings=settings)

    def write(self, line: Mapping[str, Any]) -> None:
        self._run.log(dict(scalars(line)), step=line["step"])

    def close(self) -> None:
        self._run.finish()


PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}


def check_installed(names: tuple[str, ...]) -> None:
    """Raises UnavailableError, before anything is spent, for a log whose package is not here."""
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise UnavailableError(f"logs: {name} needs its package; install it with `pip install 'hormesis[logs]'`")


def open_sinks(names: tuple[str, ...], run: Path, name: str, config: Mapping[str, Any], step: int) -> tuple[Sink, ...]:
    """The sinks that a run asks for, from `step` on."""
    made: list[Sink] = []
    if "tensorboard" in names:
        made.append(TensorBoard(run, step))
    if "wandb" in names:
        made.append(WeightsAndBiases(run, name, config))
    return tuple(made)


def scalars(line: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a line, by its path: `cross_entropy/clean`."""
    for key, value in line.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key != "step":
            yield f"{prefix}{key}", float(value)
