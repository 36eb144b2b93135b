"""What `--help` says, of every command there is."""

from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from adaptive_networks.__main__ import COMMANDS as ADAPTIVE_NETWORKS
from lgcnet_search.__main__ import COMMANDS as LGCNET_SEARCH
from lgcnet_search.commands.running import command_line
from lut_server.__main__ import cli as lut_server
from profiler_agent.__main__ import cli as profiler_agent


def _commands(cli: typer.Typer) -> Iterator[list[str]]:
    """The words of every command."""
    for group in cli.registered_groups:
        assert group.typer_instance is not None
        yield from ([str(group.name), *words] for words in _commands(group.typer_instance))
    for command in cli.registered_commands:
        yield [command.name or command.callback.__name__.replace("_", "-")] if command.callback else []


LINES = [
    lut_server,
    profiler_agent,
    *(command_line("", commands, ()) for commands in (LGCNET_SEARCH, ADAPTIVE_NETWORKS)),
]


@pytest.mark.parametrize("cli", LINES)
def test_a_switch_has_no_value(cli: typer.Typer) -> None:
    commands = list(_commands(cli))
    assert len(commands) > 1
    for words in commands:
        said = CliRunner().invoke(cli, [*words, "--help"])
        assert said.exit_code == 0, said.output
        shown = [line for line in said.output.splitlines() if "<bool>" in line]
        assert all("--help" in line for line in shown), "typer's own row"
