"""lgcnet-search: from the space to a trained network: profile, search, train, evaluate, export, measure."""

import sys
from collections.abc import Callable

import typer
from rich.console import Console

from latency_tables.client import LutError
from latency_tables.contract import MissingRows
from lgcnet_search import jobs
from lgcnet_search.commands import (
    ablating,
    calibrating,
    drawing,
    evaluation,
    genotypes,
    measuring,
    profiling,
    search,
    training,
)
from lgcnet_search.commands.common import UsageError
from lgcnet_search.computing.checkpoint import CheckpointError
from lgcnet_search.data.errors import DataError
from lgcnet_search.search.ceiling import CeilingTooLow
from lgcnet_search.search.random_search import TooFast
from lgcnet_search.search.search import SearchError
from lgcnet_search.space.genotype import GenotypeError
from lgcnet_search.training.export import ExportError
from lgcnet_search.training.train import TrainingError
from lgcnet_search.training.weights import WeightsError

EXIT_REFUSED = 2
REFUSALS = (
    UsageError,
    LutError,
    MissingRows,
    jobs.AgentError,
    GenotypeError,
    CeilingTooLow,
    TooFast,
    DataError,
    SearchError,
    CheckpointError,
    TrainingError,
    WeightsError,
    ExportError,
    OSError,
)

cli = typer.Typer(
    help="Searches segmentation networks for a device, with the latencies that its agent measured.",
    no_args_is_help=True,
    add_completion=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "space": genotypes.show,
    "profile": profiling.profile,
    "calibrate": calibrating.calibrate,
    "search": search.run,
    "measure": measuring.measure,
    "random": genotypes.draw,
    "pretrain": training.pretrain,
    "finetune": training.finetune,
    "evaluate": evaluation.run,
    "export": evaluation.export,
    "ablate": ablating.ablate,
}
for name, command in COMMANDS.items():
    cli.command(name)(command)
cli.add_typer(drawing.cli, name="draw")


def main() -> None:
    """The command; whatever is wrong with input, server or data becomes one line and exit code 2."""
    try:
        cli()
    except REFUSALS as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"lgcnet-search: {error}", markup=False)
        sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main()
