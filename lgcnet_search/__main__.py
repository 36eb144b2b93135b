"""lgcnet-search: from the space to a trained network: profile, search, train, evaluate, export, measure."""

from collections.abc import Callable

import typer

from lgcnet_search.commands import (
    ablating,
    calibrating,
    drawing,
    evaluation,
    figure_1,
    genotypes,
    introducing,
    measuring,
    profiling,
    queue,
    ranking,
    search,
    training,
)
from lgcnet_search.commands.running import run

cli = typer.Typer(
    help="Searches segmentation networks for a device, with the latencies that its agent measured.",
    no_args_is_help=True,
    add_completion=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "space": genotypes.show,
    "profile": profiling.profile,
    "calibrate": calibrating.calibrate,
    "introduce": introducing.introduce,
    "search": search.run,
    "measure": measuring.measure,
    "random": genotypes.draw,
    "pretrain": training.pretrain,
    "finetune": training.finetune,
    "evaluate": evaluation.run,
    "export": evaluation.export,
    "ablate": ablating.ablate,
    "figure-1": figure_1.figure_1,
    "rank": ranking.run,
}
for name, command in COMMANDS.items():
    cli.command(name)(command)
cli.add_typer(queue.cli, name="jobs")
cli.add_typer(drawing.cli, name="draw")


def main() -> None:
    """The command; whatever is wrong with options, input, server or data becomes one line and exit code 2."""
    run(cli, "lgcnet-search")


if __name__ == "__main__":
    main()
