"""How commands reach the server: its address, and a token that need not stand in a command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from latency_tables.client import LutClient
from latency_tables.client.connecting import token_of
from lgcnet_search.commands.usage import usage

Server = Annotated[str, typer.Option(help="URL of the lookup-table server.", envvar="LUT_SERVER")]
Token = Annotated[
    str | None, typer.Option(help="Access token; others see it in the list of processes.", envvar="LUT_TOKEN")
]
TokenFile = Annotated[Path | None, typer.Option(help="File with the access token.", envvar="LUT_TOKEN_FILE")]


@dataclass(frozen=True)
class AccessOptions:
    """The server, and who asks it."""

    server: Server
    token: Token = None
    token_file: TokenFile = None

    def connected(self) -> LutClient:
        """A client of the server, to be used as a context. Raises UsageError."""
        with usage():
            return LutClient(self.server, token_of(self.token, self.token_file))
