"""Send a request again while the server is away or busy: full jitter, Retry-After, and an end.

A function and no transport: given a transport, httpx ignores the proxies of the environment.
"""

import random
import time
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx

from latency_tables.client.errors import ServerUnavailable, error_of, problem_of

BUSY = frozenset({502, 503, 504})
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0


def send(http: httpx.Client, request: httpx.Request, retry_for_s: float) -> httpx.Response:
    """The first response by which the server, or a proxy before it, does not ask to wait.

    Raises:
        ServerUnavailable: there was none for `retry_for_s`.
    """
    give_up_at = time.monotonic() + retry_for_s
    delay_s = FIRST_DELAY_S
    while True:
        wait_s = random.uniform(0, delay_s)
        try:
            response = http.send(request)
        except httpx.RequestError as error:  # no connection, a timeout, a body that breaks off or cannot be decoded
            unavailable = _no_answer(request, error, retry_for_s)
        else:
            if not _asks_to_wait(response):
                return response
            unavailable = _busy(response, retry_for_s)
            wait_s += _retry_after_s(response)
        if time.monotonic() + wait_s > give_up_at:
            raise unavailable
        time.sleep(wait_s)
        delay_s = min(MAX_DELAY_S, delay_s * 2)


def _asks_to_wait(response: httpx.Response) -> bool:
    return response.status_code in BUSY or (response.status_code == 429 and "Retry-After" in response.headers)


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds from now, by a number or a date; 0 without either."""
    value = response.headers.get("Retry-After", "")
    with suppress(ValueError, TypeError, OverflowError):
        if value.isdecimal():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    return 0.0


def _busy(response: httpx.Response, retry_for_s: float) -> ServerUnavailable:
    message = f"{_server(response.request)}: not available for {retry_for_s:g} s. {error_of(response)}"
    return ServerUnavailable(message, status=response.status_code, problem=problem_of(response))


def _no_answer(request: httpx.Request, error: httpx.RequestError, retry_for_s: float) -> ServerUnavailable:
    unavailable = ServerUnavailable(
        f"{_server(request)}: no answer for {retry_for_s:g} s ({type(error).__name__}: {error}). "
        "Is it running? lut-server serve starts it"
    )
    unavailable.__cause__ = error
    return unavailable


def _server(request: httpx.Request) -> str:
    return f"the server at {request.url.copy_with(raw_path=b'/')}"
