"""What a client does, apart from how it waits: generators that ask for a request to be sent or a pause to be made.

LutClient and AsyncLutClient carry out the same steps, each in its own way.
"""

import random
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import httpx

from latency_tables.client.errors import ServerUnavailable, error_of, problem_of

if TYPE_CHECKING:
    from latency_tables.client.methods import AsyncLutClient, LutClient, Methods

Params = ParamSpec("Params")
Answer = TypeVar("Answer")
Given = httpx.Response | httpx.TransportError | None

RETRIED = frozenset({502, 503, 504})
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0


@dataclass(frozen=True)
class Pause:
    seconds: float


Steps = Generator[httpx.Request | Pause, Given, Answer]
"""Yields a request, to be given its response or why there is none, or a pause; returns the answer."""


class method(Generic[Params, Answer]):
    """A method written once, as steps: on LutClient it returns its answer, on AsyncLutClient it is awaited."""

    def __init__(self, steps: Callable[Concatenate[Any, Params], Steps[Answer]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> "method[Params, Answer]": ...
    @overload
    def __get__(self, client: "LutClient", owner: type) -> Callable[Params, Answer]: ...
    @overload
    def __get__(self, client: "AsyncLutClient", owner: type) -> Callable[Params, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, client: "Methods | None", owner: type) -> Any:
        if client is None:
            return self
        run = client._run

        @wraps(self._steps)
        def call(*args: Params.args, **kwargs: Params.kwargs) -> Any:
            return run(self._steps(client, *args, **kwargs))

        return call


def send(request: httpx.Request, retry_for_s: float) -> Steps[httpx.Response]:
    """Send until there is an answer that is none of the server's or a proxy's "not now" or "not so fast".

    Raises:
        ServerUnavailable: there was none for `retry_for_s`.
    """
    give_up_at = time.monotonic() + retry_for_s
    attempt = 0
    while True:
        wait_s = random.uniform(0, min(MAX_DELAY_S, FIRST_DELAY_S * 2**attempt))
        given = yield request
        if isinstance(given, httpx.Response):
            later = given.status_code == 429 and "Retry-After" in given.headers
            if given.status_code not in RETRIED and not later:
                return given
            reason = str(error_of(given))
            wait_s += _retry_after_s(given)
        else:
            reason = f"{type(given).__name__}: {given}"
        if time.monotonic() + wait_s > give_up_at:
            raise _given_up(request, given, reason, retry_for_s)
        yield Pause(wait_s)
        attempt = min(attempt + 1, 20)


def _given_up(request: httpx.Request, given: Given, reason: str, retry_for_s: float) -> ServerUnavailable:
    server = f"the server at {request.url.copy_with(raw_path=b'/')}"
    if isinstance(given, httpx.Response):
        said = f"{server}: not available for {retry_for_s:g} s. {reason}"
        return ServerUnavailable(said, status=given.status_code, problem=problem_of(given))
    error = ServerUnavailable(
        f"{server}: no answer for {retry_for_s:g} s ({reason}). Is it running? lut-server serve starts it"
    )
    error.__cause__ = given
    return error


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    return 0.0
