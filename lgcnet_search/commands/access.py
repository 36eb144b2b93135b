"""How commands reach the server: its address, and a token that need not stand in a command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from latency_tables.client import LutClient
from lgcnet_search.commands.usage import UsageError, usage

Server = Annotated[str, typer.Option(help="URL of the lookup-table server.", envvar="LUT_SERVER")]
Token = Annotated[
    str | None, typer.Option(help="Access token; others see it in the list of processes.", envvar="LUT_TOKEN")
]
TokenFile = Annotated[Path | None, typer.Option(help="File with the access token.", envvar="LUT_TOKEN_FILE")]


def access_token(token: str | None, file: Path | None) -> str | None:
    """The token, or what its file holds. Raises UsageError."""
    if file is None:
        return token
    if token is not None:
        raise UsageError("--token (LUT_TOKEN) and --token-file (LUT_TOKEN_FILE): give one of them")
    try:
        text = file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: cannot be read ({error})") from error
    if not text:
        raise UsageError(f"--token-file {file}: the file is empty; lut-server token create makes a token")
    return text


@dataclass(frozen=True)
class AccessOptions:
    """The server, and who asks it."""

    server: Server
    token: Token = None
    token_file: TokenFile = None

    def connected(self) -> LutClient:
        """A client of the server, to be used as a context. Raises UsageError."""
        with usage():
            return LutClient(self.server, access_token(self.token, self.token_file))
