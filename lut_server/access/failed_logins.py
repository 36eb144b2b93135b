"""How often an address may present a wrong token: plain numbers, no clock and no HTTP."""

import ipaddress
from collections import OrderedDict

MAX_FAILURES = 20
WINDOW_S = 60.0
MAX_ADDRESSES = 10_000


class FailedLogins:
    """Counts failures per address in windows of 60 s; bounded, the address that failed longest ago is forgotten."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(self, address: str, now_s: float) -> None:
        key = _network(address)
        failures, started_s = self._windows.get(key, (0, now_s))
        if now_s - started_s >= WINDOW_S:
            failures, started_s = 0, now_s
        self._windows[key] = (failures + 1, started_s)
        self._windows.move_to_end(key)
        if len(self._windows) > MAX_ADDRESSES:
            self._windows.popitem(last=False)

    def blocked_for_s(self, address: str, now_s: float) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        failures, started_s = self._windows.get(_network(address), (0, now_s))
        return max(0.0, started_s + WINDOW_S - now_s) if failures >= MAX_FAILURES else 0.0


def _network(address: str) -> str:
    """What counts as one address: an IPv6 /64, since its owner has all of it; an IPv4 address, also one that is mapped
    into IPv6, as a socket on `::` reports it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
