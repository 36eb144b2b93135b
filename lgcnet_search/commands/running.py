"""How a command line ends: whatever is wrong with options, input, server or data becomes one line and exit code 2."""

import sys
from typing import NoReturn

import typer
from rich.console import Console

from latency_tables.client import LutError
from latency_tables.contract import MissingRows
from latency_tables.plain_text import file_error, plain
from lgcnet_search import jobs
from lgcnet_search.commands.following import Interrupted
from lgcnet_search.errors import Refused

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
OPTION_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises for an option that it refuses, whichever version."""
REFUSALS = (Refused, LutError, MissingRows, jobs.AgentError, OSError)


def run(cli: typer.Typer, name: str) -> NoReturn:
    """Run the command of the process's arguments, and exit."""
    try:
        code = cli(standalone_mode=False)
    except OPTION_ERROR as error:
        message = error.format_message()  # type: ignore[attr-defined]
        if not message:  # a group without a command has printed its help
            sys.exit(EXIT_REFUSED)
        _refuse(name, message)
    except Interrupted as error:
        _refuse(name, error, EXIT_INTERRUPTED)
    except REFUSALS as error:
        _refuse(name, error)
    except KeyboardInterrupt:
        _refuse(name, "stopped", EXIT_INTERRUPTED)
    sys.exit(code or 0)


def _refuse(name: str, reason: object, code: int = EXIT_REFUSED) -> NoReturn:
    if isinstance(reason, OSError):
        reason = file_error(reason)
    Console(stderr=True, highlight=False, soft_wrap=True).print(plain(f"{name}: {reason}"), markup=False)
    sys.exit(code)
