"""How a client reaches its server: address, token, proxies, certificates; and what is wrong with them.

No message has a secret: a URL is shown without its password, a token never.
"""

import ipaddress
import os
import re
import ssl
from functools import lru_cache
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import httpx

from latency_tables.plain_text import plain

_NOT_OF_A_TOKEN = re.compile(r"[^!-~]")


def server_url(url: str) -> httpx.URL:
    """The parsed address of a server.

    Raises:
        ValueError: it is not an http(s) URL.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise ValueError(f"url={plain(url)!r}: {plain(str(error))}; give it like http://127.0.0.1:8000") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"url={plain(url)!r}: not an http(s) URL; give it like http://127.0.0.1:8000")
    return parsed


def without_password(url: httpx.URL) -> httpx.URL:
    """The address as it may be shown; httpx would show the password in it."""
    return url.copy_with(username=None, password=None)


def checked_token(token: str | None) -> str | None:
    """The token as it goes into a header; None without one.

    White space around it is left out: a variable from a file with Windows line ends has a carriage return.

    Raises:
        ValueError: it has a character that no token has. The message does not show it.
    """
    token = (token or "").strip()
    wrong = _NOT_OF_A_TOKEN.search(token)
    if wrong:
        kind = "a control character" if wrong[0] < " " or wrong[0] == "\x7f" else "a space or a special character"
        raise ValueError(
            f"the access token (LUT_TOKEN, --token or a token file) has {kind} as character {wrong.start() + 1} of "
            f"{len(token)}; copy it again"
        )
    return token or None


def token_of(token: str | None, file: Path | None) -> str | None:
    """The token, or what its file holds.

    Raises:
        ValueError: both are given, or the file holds none.
    """
    if file is None:
        return token
    if token is not None:
        raise ValueError("--token (LUT_TOKEN) and --token-file (LUT_TOKEN_FILE): give one of them")
    try:
        text = file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--token-file {file}: cannot be read ({error})") from error
    if not text:
        raise ValueError(f"--token-file {file}: the file is empty; lut-server token create makes a token")
    return text


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which no proxy of the environment can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def trusts_environment(url: httpx.URL) -> bool:
    """Whether proxies of the environment are for this server: not on loopback, nor where NO_PROXY names it."""
    return not is_loopback(url.host) and not proxy_bypass(url.host)


def proxy_of(url: httpx.URL) -> str | None:
    """The proxy that requests go through, as people know it: `HTTPS_PROXY=http://proxy:3128`; None without one."""
    if not trusts_environment(url):
        return None
    proxies = getproxies()
    kind = url.scheme if proxies.get(url.scheme) else "all"
    if not proxies.get(kind):
        return None
    names = [name for name in (f"{kind}_proxy", f"{kind}_proxy".upper()) if os.environ.get(name)]
    return f"{names[0] if names else f'{kind}_proxy'}={plain(proxies[kind])}"


def open_client(url: httpx.URL, token: str | None) -> httpx.Client:
    """Connections to a server; a password in the address is sent, unless there is a token, and never shown.

    Raises:
        ValueError: a proxy of the environment cannot be used; the message names its variable.
    """
    trusts = trusts_environment(url)
    basic = None if token or not url.username else (url.username, url.password)
    try:
        return httpx.Client(
            base_url=without_password(url),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            auth=basic,
            trust_env=trusts,
            verify=_tls(),
        )
    except ImportError as error:
        raise ValueError(
            f"{_variables()}: a SOCKS proxy takes one more package: pip install 'httpx[socks]'. Or unset the "
            f"variable, or name {url.host} in NO_PROXY"
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(
            f"{_variables()}: not a proxy's address ({plain(str(error))}); give it like http://proxy:3128, or unset it"
        ) from error


def _variables() -> str:
    """The variables of the environment that name proxies."""
    named = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") and value}
    return ", ".join(f"{name}={plain(value)}" for name, value in sorted(named.items()) if name.lower() != "no_proxy")


@lru_cache
def _tls() -> ssl.SSLContext:
    """As httpx makes one for each of its clients; it takes milliseconds, and a process may have many clients.

    An authority that SSL_CERT_FILE names is trusted on loopback too.
    """
    return httpx.create_ssl_context()
