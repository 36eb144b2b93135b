"""Send a request again while the server is away or busy: full jitter, Retry-After, and an end.

A function and no transport: given a transport, httpx ignores the proxies of the environment.
"""

import logging
import random
import ssl
import time
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx

from latency_tables.client.connecting import is_loopback, proxy_of
from latency_tables.client.errors import Misdirected, ServerUnavailable, error_of, problem_of
from latency_tables.plain_text import plain

BUSY = frozenset({502, 503, 504})
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0
SILENT_FOR_S = 2.0
REFUSED_FOR_S = 5.0
"""Nothing listens on this machine at a client's first request: what is not there yet is there by then."""

log = logging.getLogger(__name__)


def send(http: httpx.Client, request: httpx.Request, retry_for_s: float, *, is_first: bool = False) -> httpx.Response:
    """The first response by which the server, or a proxy before it, does not ask to wait.

    After two seconds a warning says what it waits for, and how long.

    Raises:
        ServerUnavailable: there was none for `retry_for_s`.
        Misdirected: there never will be one: the address, a certificate, or the request itself is wrong.
    """
    started = time.monotonic()
    delay_s = FIRST_DELAY_S
    has_warned = False
    while True:
        wait_s = random.uniform(0, delay_s)
        give_up_after_s = retry_for_s
        try:
            response = http.send(request)
        except httpx.RequestError as error:  # no connection, a timeout, a body that breaks off or cannot be decoded
            wrong = _never(request, error)
            if wrong is not None:
                raise Misdirected(wrong) from error
            if is_first and isinstance(error, httpx.ConnectError) and is_loopback(request.url.host):
                give_up_after_s = min(retry_for_s, REFUSED_FOR_S)
            unavailable = _no_answer(request, error, give_up_after_s)
        else:
            if not _asks_to_wait(response):
                return response
            unavailable = _busy(response, retry_for_s)
            wait_s += _retry_after_s(response)
        waited_s = time.monotonic() - started
        if waited_s + wait_s > give_up_after_s:
            raise unavailable
        if not has_warned and waited_s + wait_s >= SILENT_FOR_S:
            has_warned = True
            log.warning("%s; trying for %g s, Ctrl-C stops", unavailable.reason, give_up_after_s)
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


def _never(request: httpx.Request, error: httpx.RequestError) -> str | None:
    """Why a request that failed like this will always fail; None if another try may succeed."""
    server = _server(request)
    if isinstance(error, httpx.LocalProtocolError):
        return f"{server}: a request to it cannot be sent ({plain(str(error))})"
    if isinstance(error, httpx.UnsupportedProtocol):
        return f"{server}: {plain(str(error))}; give a URL like http://127.0.0.1:8000"
    reason = _tls_error(error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"{server}: its certificate is not trusted ({plain(reason.verify_message)}). Name the file of its "
            "authority's certificate in SSL_CERT_FILE"
        )
    if reason is not None and "WRONG_VERSION_NUMBER" in str(reason):
        return f"{server}: does not speak TLS there; is it http:// instead of https://?"
    return None


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _busy(response: httpx.Response, retry_for_s: float) -> ServerUnavailable:
    reason = f"{_server(response.request)}: not available"
    message = f"{reason} for {retry_for_s:g} s. {error_of(response)}"
    return ServerUnavailable(message, reason=reason, status=response.status_code, problem=problem_of(response))


def _no_answer(request: httpx.Request, error: httpx.RequestError, retry_for_s: float) -> ServerUnavailable:
    what = f"{type(error).__name__}: {plain(str(error))}"
    reason = f"{_server(request)}: no answer"
    proxy = proxy_of(request.url)
    if proxy:
        way_out = f"It was asked through the proxy {proxy}; is that right? NO_PROXY names servers without one"
    else:
        way_out = "Is it running? lut-server serve starts it"
    unavailable = ServerUnavailable(f"{reason} for {retry_for_s:g} s ({what}). {way_out}", reason=f"{reason} ({what})")
    unavailable.__cause__ = error
    return unavailable


def _server(request: httpx.Request) -> str:
    """The server as its client was told: without the path of the request below /v1."""
    path = request.url.raw_path.split(b"/v1/")[0]
    return f"the server at {request.url.copy_with(raw_path=path.rstrip(b'/') + b'/')}"
