"""lgcnet-search: from the space to a trained network: profile, search, train, evaluate, export, measure."""

import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from rich.console import Console

from latency_tables.client import LutError
from latency_tables.contract import MissingRows
from latency_tables.plain_text import plain
from lgcnet_search import jobs
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
from lgcnet_search.commands.following import Interrupted
from lgcnet_search.errors import Refused

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
OPTION_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises for an option that it refuses, whichever version."""
REFUSALS = (Refused, LutError, MissingRows, jobs.AgentError, OSError)

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
    try:
        code = cli(standalone_mode=False)
    except OPTION_ERROR as error:
        _refuse(error.format_message())  # type: ignore[attr-defined]
    except Interrupted as error:
        _refuse(error, EXIT_INTERRUPTED)
    except REFUSALS as error:
        _refuse(error)
    except KeyboardInterrupt:
        _refuse("stopped", EXIT_INTERRUPTED)
    sys.exit(code or 0)


def _refuse(reason: object, code: int = EXIT_REFUSED) -> NoReturn:
    if isinstance(reason, OSError) and reason.filename is not None:
        missing = isinstance(reason, FileNotFoundError)
        reason = f"no file {reason.filename}" if missing else f"{reason.filename}: {reason.strerror}"
    Console(stderr=True, highlight=False, soft_wrap=True).print(plain(f"lgcnet-search: {reason}"), markup=False)
    sys.exit(code)


if __name__ == "__main__":
    main()
