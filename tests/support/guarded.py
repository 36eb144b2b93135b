"""A real server that asks for tokens, and the tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import uuid6

from latency_tables.contract import NewToken, Role, TokenRequest
from lut_server.access.auth import Access
from lut_server.app import create_app
from lut_server.credentials import ServerKey
from lut_server.storage import tokens
from lut_server.storage.database import Database
from tests.support.lut import Clock, serving

ROLES: tuple[Role, ...] = ("read", "search", "agent", "admin")


class Guarded:
    """Its clock stands still until the test moves it, also the one by which tokens are kept in memory."""

    def __init__(self, database: Database, *, open_to_local: bool) -> None:
        self.database = database
        self.clock = Clock()
        self.key = ServerKey.random()
        self.access = Access(
            database,
            lambda: self.key,
            self.clock,
            open_to_local=open_to_local,
            monotonic=lambda: self.clock.now.timestamp(),
        )
        self.url = ""

    def make(self, role: Role, device: str | None = None, expires_in_s: float | None = None) -> NewToken:
        """A token, made as on the command line."""
        expires_at = None if expires_in_s is None else self.clock.now + timedelta(seconds=expires_in_s)
        request = TokenRequest(name=f"test of {role}", role=role, device=device, expires_at=expires_at)
        with self.database.write() as session:
            return tokens.create(session, uuid6.uuid7(), request, self.key, self.clock.now)

    def http(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, verify=False, timeout=60)

    def status(self, token: str | None, path: str = "/v1/devices") -> int:
        with self.http(token) as http:
            return http.get(path).status_code


@contextmanager
def guarded_server(database_url: str, *, open_to_local: bool = False, root_path: str = "") -> Iterator[Guarded]:
    database = Database(database_url)
    guarded = Guarded(database, open_to_local=open_to_local)
    with serving(create_app(database, guarded.clock, access=guarded.access, root_path=root_path)) as url:
        guarded.url = url
        yield guarded
    database.close()
