"""How a command line begins, and ends: whatever is wrong with options, input, server or data becomes one line."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from latency_tables.client import LutError
from latency_tables.contract import MissingRows
from latency_tables.plain_text import file_error, plain
from lgcnet_search.commands.following import Interrupted
from lgcnet_search.errors import Refused

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
OPTION_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises for an option that it refuses, whichever version."""
REFUSALS = (Refused, LutError, MissingRows, OSError)


def run(name: str, summary: str, commands: Mapping[str, str]) -> NoReturn:
    """Run the command of the process's arguments, and exit: with 2 where it is refused, 130 where it is stopped.

    `commands` are functions and groups by their names, each as module:attribute. Only what is asked for is imported.
    """
    try:
        code = command_line(summary, commands, sys.argv[1:2])(standalone_mode=False)
    except OPTION_ERROR as error:
        message = error.format_message()  # type: ignore[attr-defined]
        if not message:  # a group without a command has printed its help
            sys.exit(EXIT_REFUSED)
        given = error.__cause__.errors()[0]["input"] if isinstance(error.__cause__, ValidationError) else None
        _refuse(name, message if given is None else f"{message} (given: {given!r})")
    except Interrupted as error:
        _refuse(name, error, EXIT_INTERRUPTED)
    except REFUSALS as error:
        _refuse(name, error)
    except KeyboardInterrupt:
        _refuse(name, "stopped", EXIT_INTERRUPTED)
    sys.exit(code or 0)


def command_line(summary: str, commands: Mapping[str, str], asked: Sequence[str]) -> typer.Typer:
    """With the command that is `asked` for; where it is none, as for help, with all of them, which takes seconds."""
    cli = typer.Typer(help=summary, no_args_is_help=True, add_completion=False, callback=_nothing)
    for command in commands.keys() & asked or commands:
        module, _, attribute = commands[command].partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            cli.add_typer(found, name=command)
        else:
            cli.command(command)(found)
    return cli


def _nothing() -> None:
    """Without a callback, a single command would be the whole command line."""


def _refuse(name: str, reason: object, code: int = EXIT_REFUSED) -> NoReturn:
    if isinstance(reason, OSError):
        reason = file_error(reason)
    Console(stderr=True, highlight=False, soft_wrap=True).print(plain(f"{name}: {reason}"), markup=False)
    sys.exit(code)
