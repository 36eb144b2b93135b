"""Whose request it is, and what a role may do. Knows tokens and addresses, nothing of routes or answers."""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, get_args
from uuid import UUID

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from latency_tables.contract import Role, TokenRecord
from lut_server.access.failed_logins import FailedLogins
from lut_server.credentials import KeyUnusable, ServerKey, is_well_formed
from lut_server.errors import Forbidden, NotReady, TooManyFailures, Unauthorized
from lut_server.nouns import Noun
from lut_server.storage import tokens
from lut_server.storage.database import Database

CACHE_S = 5.0  # a revoked token may still work, and a server with its first token stay open, for this long
REFRESH_S = 2.5  # a token in use is looked up again this early, in the background
MAX_CACHED = 10_000
LOOK_UP_THREADS = 2
_RANK: Mapping[Role, int] = {role: rank for rank, role in enumerate(get_args(Role))}
_CREATE = "`lut-server token create` on the server's machine makes one"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Principal:
    """Whose request it is; `token` is None where no tokens exist yet and the server listens on loopback
    only. `name` is that of the token."""

    role: Role
    device: str | None = None
    token: UUID | None = None
    name: str | None = None

    def may_write(self, noun: Noun) -> bool:
        """Whether this role may write a noun."""
        try:
            self.require(noun, writes=True)
        except Forbidden:
            return False
        return True

    def require(self, noun: Noun, *, writes: bool) -> None:
        """Raise Forbidden unless this role may read, or write, a noun."""
        verb, needed = ("write", noun.write) if writes else ("read", noun.read)
        if _RANK[self.role] < _RANK[needed]:
            raise Forbidden(f"a token of role {self.role} may not {verb} {noun.name}; it takes {needed}", needed=needed)
        if writes and self.device is not None and needed != "read" and not noun.of_device:
            raise Forbidden(f"this token is for device {self.device} only; it may not write {noun.name}")

    def require_admin(self) -> None:
        """Raise Forbidden unless this is an administrator, for what only those may do of a noun that others write."""
        if self.role != "admin":
            raise Forbidden(f"a token of role {self.role} may not do this; it takes admin", needed="admin")

    def require_device(self, uuid: str) -> None:
        """Raise Forbidden if this token is for another device."""
        if self.device is not None and self.device != uuid:
            raise Forbidden(f"device={uuid!r}: this token is for device {self.device} only", field="device", value=uuid)


LOCAL = Principal("admin")


class _CachedToken(NamedTuple):
    """A token that was looked up: it is valid until `until_s`, and looked up again from `refresh_s` on."""

    principal: Principal
    until_s: float
    refresh_s: float


class Access:
    """Finds out whose request it is, from an Authorization header.

    Tokens are cached for CACHE_S by their keyed hash, so that most requests cost one HMAC and no query.
    `open_to_local`: while the database has no token, everybody is let in, because only this machine reaches the
    server.
    """

    def __init__(
        self,
        database: Database,
        load_key: Callable[[], ServerKey],
        clock: Callable[[], datetime],
        *,
        open_to_local: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._load_key = load_key
        self._clock = clock
        self._monotonic = monotonic
        self._closed = not open_to_local
        self._open_until_s = 0.0
        self._cached: dict[str, _CachedToken] = {}
        self._lookups: dict[str, asyncio.Task[TokenRecord | None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._failures = FailedLogins()
        # Threads of their own: a look-up does not wait behind requests that write.
        self._threads = CapacityLimiter(LOOK_UP_THREADS)

    @cached_property
    def key(self) -> ServerKey:
        """The server key; read when it is first needed, so that a server without tokens needs none."""
        try:
            return self._load_key()
        except KeyUnusable as error:
            log.error("%s", error)
            raise NotReady("this server cannot check tokens; its log says why") from error

    async def is_open(self) -> bool:
        """Whether no token is needed: none was ever made, and only this machine reaches the server."""
        if self._closed:
            return False
        if self._monotonic() >= self._open_until_s:
            self._closed = await run_sync(self._any_exist, limiter=self._threads)
            self._open_until_s = self._monotonic() + CACHE_S
        return not self._closed

    async def identify(self, authorization: bytes | None, address: str) -> Principal:
        """Whose token this is.

        Raises:
            Unauthorized: there is none, or it is wrong, expired or revoked.
            TooManyFailures: this address presented too many wrong ones.
        """
        if authorization is None:
            raise Unauthorized(f"a token is needed: send `Authorization: Bearer lut_…`. {_CREATE}")
        token = _token(authorization)
        digest = self.key.digest(token)
        cached = self._cached.get(digest)
        now_s = self._monotonic()
        if cached is not None and now_s < cached.until_s:
            if now_s >= cached.refresh_s and digest not in self._lookups:
                self._in_background(self._refresh(digest))
            return cached.principal
        # A token that already worked is not blocked by other clients' failures from the same address.
        blocked_for_s = self._failures.blocked_for_s(address, now_s)
        if blocked_for_s and cached is None:
            raise TooManyFailures(
                f"too many wrong tokens from {address}; try again in {blocked_for_s:.0f} s",
                headers={"Retry-After": str(int(blocked_for_s) + 1)},
            )
        if not is_well_formed(token):
            raise self._failed(address, "this is not a token: its checksum is wrong; was it cut off or mistyped?")
        record = await self._find(digest)
        now = self._clock()
        if record is None:
            raise self._failed(address, f"no such token on this server; {_CREATE}")
        if _has_ended(record, now):
            self._cached.pop(digest, None)
            end = "was revoked" if record.revoked_at else f"expired at {record.expires_at:%Y-%m-%d %H:%M:%S} UTC"
            raise self._failed(address, f"this token ({record.id}) {end}; {_CREATE}")
        return self._remember(digest, record, now, now_s)

    async def _refresh(self, digest: str) -> None:
        """Look a cached token up again before it expires from the cache; a failure here is left to its next request."""
        now_s = self._monotonic()
        with suppress(SQLAlchemyError, OSError):
            record = await self._find(digest)
            now = self._clock()
            if record is None or _has_ended(record, now):
                self._cached.pop(digest, None)
            else:
                self._remember(digest, record, now, now_s)

    def _remember(self, digest: str, record: TokenRecord, now: datetime, now_s: float) -> Principal:
        principal = Principal(record.role, record.device, record.id, record.name)
        for_s = min(CACHE_S, (record.expires_at - now).total_seconds()) if record.expires_at else CACHE_S
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        self._cached[digest] = _CachedToken(principal, until_s=now_s + for_s, refresh_s=now_s + min(for_s, REFRESH_S))
        if tokens.is_use_due(record, now):
            self._in_background(run_in_threadpool(self._note_use, record.id, now))
        return principal

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _find(self, digest: str) -> TokenRecord | None:
        """One query, however many requests with this token wait for its result."""
        lookup = self._lookups.get(digest)
        if lookup is None:
            lookup = asyncio.create_task(run_sync(self._read, digest, limiter=self._threads))
            self._lookups[digest] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(digest, None))
        return await asyncio.shield(lookup)

    def _failed(self, address: str, why: str) -> Unauthorized:
        self._failures.count(address, self._monotonic())
        return Unauthorized(why, invalid=True)

    def _read(self, digest: str) -> TokenRecord | None:
        with self._database.read() as session:
            return tokens.find(session, digest)

    def _any_exist(self) -> bool:
        with self._database.read() as session:
            return tokens.any_exist(session)

    def _note_use(self, id: UUID, now: datetime) -> None:
        try:
            with self._database.write() as session:
                tokens.note_use(session, id, now)
        except (SQLAlchemyError, OSError) as error:
            log.warning("the last use of token %s was not noted: %s", id, error)


def _has_ended(record: TokenRecord, now: datetime) -> bool:
    return record.revoked_at is not None or (record.expires_at is not None and record.expires_at <= now)


def _token(authorization: bytes) -> bytes:
    """The token of a Bearer header, or of a Basic one, where browsers send it as the password."""
    scheme, _, value = authorization.partition(b" ")
    value = value.strip()
    if scheme.lower() == b"bearer":
        return value
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
