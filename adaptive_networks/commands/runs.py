"""What systems share that classify pixels: options, a run as it was asked for, the commands `train` and `demo`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic

import typer
from torch import nn

from adaptive_networks.commands.expecting import TargetsOptions
from adaptive_networks.commands.measuring import Budget
from adaptive_networks.commands.training import SETTING, Of, Own, chosen, demonstrate, with_hints
from adaptive_networks.core.record import FILE, Record
from lgcnet_search.commands.options import Seed, torch_device
from lgcnet_search.commands.usage import UsageError


@dataclass(frozen=True)
class LearnOptions:
    """How it is trained, and where."""

    lr: Annotated[float, typer.Option(help="Learning rate.")] = 0.02
    seed: Seed = 0
    train_on: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU if there is one.")] = "auto"


@dataclass(frozen=True)
class Run(Generic[Own]):
    """As it was asked for; `own` are the options of the system, `asked` those of the device in `demo`."""

    setting: str
    how: LearnOptions
    own: Own
    out: Path
    asked: TargetsOptions | None = None

    def chosen(self, settings: dict[str, Of]) -> Of:
        """Raises UsageError for a setting that there is not."""
        return chosen(settings, self.setting)

    def require_finite(self, network: nn.Module) -> None:
        """Raises UsageError where training has left weights that are no numbers."""
        if not all(parameter.isfinite().all() for parameter in network.parameters()):
            raise UsageError(f"lr: {self.how.lr} is too large, weights are no longer finite; take less")

    def file(self, name: str) -> Path:
        """In the folder, which is made."""
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out / name

    def save(self, record: Record, folder: str = "") -> Path:
        """rates.json in the folder, or in one in it; prints how good every point is."""
        there = self.out / folder
        record.save(there)
        for point in record.points if not folder else ():
            typer.echo(f"{point.series}, {point.label}: {record.tell(point)}")
        typer.echo(there / FILE)
        return there


def commands(
    trained: Callable[[Run[Own]], Sequence[Path]], how: LearnOptions, own: type[Own], out: Path, about: str | None
) -> typer.Typer:
    """`train` and `demo` of a system: `trained` returns the folders of its records; ceilings are of the first."""

    def begun(run: Run[Own]) -> Sequence[Path]:
        torch_device(run.how.train_on)
        if not 0 < run.how.lr < math.inf:
            raise UsageError(f"lr: {run.how.lr} is not a finite number above 0")
        if (run.out / FILE).exists():
            raise UsageError(f"out: {run.out / FILE} is of an earlier run; another --out begins anew")
        return trained(run)

    def train(own: Any, how: Any = how, setting: Any = SETTING, out: Any = out) -> None:
        """Train; writes weights, and the rates and accuracies of all points of operation, to OUT."""
        begun(Run(setting, how, own, out))

    def demo(
        own: Any, asked: TargetsOptions, how: Any = how, setting: Any = SETTING, budget: Budget = None, out: Any = out
    ) -> None:
        """Train, have the paths measured, and choose among the points under ceilings of each device and mode."""
        asked.require()
        for number, folder in enumerate(begun(Run(setting, how, own, out, asked))):
            ceilings = asked if number == 0 else replace(asked, ceiling_ms=None)
            demonstrate(Record.load(folder), ceilings, folder, budget)

    hints = {
        "how": type(how),
        "own": own,
        "setting": Annotated[str, typer.Option(help="demo: minutes on two cores; or the full size.")],
        "out": Annotated[Path, typer.Option(help="Folder for weights, rates.json and pictures.")],
    }
    return with_hints((train, demo), hints, about)
