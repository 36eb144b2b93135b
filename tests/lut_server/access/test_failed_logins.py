from uvicorn.middleware.proxy_headers import _TrustedHosts

from lut_server.access.failed_logins import MAX_FAILURES, WINDOW_S, FailedLogins
from lut_server.settings import load_settings


def test_an_address_is_blocked_and_its_neighbours_are_not() -> None:
    """IPv6 by the /64 that its owner has; IPv4 one by one, also as a socket on `::` reports it."""
    for address, same, other in (
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.7", "192.0.2.7", "::ffff:203.0.113.9"),
        ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"),
        ("unknown", "unknown", "192.0.2.7"),
    ):
        failures = FailedLogins()
        for _ in range(MAX_FAILURES):
            assert failures.blocked_for_s(same, 0.0) == 0
            failures.count(address, 0.0)
        assert failures.blocked_for_s(same, 1.0) == WINDOW_S - 1
        assert failures.blocked_for_s(other, 1.0) == 0


def test_a_trusted_proxy_is_trusted_also_where_its_address_is_mapped() -> None:
    settings = load_settings({"LUT_DATABASE_URL": "sqlite:////tmp/x", "LUT_TRUSTED_PROXIES": "10.0.0.7,172.16.0.0/12"})
    trusted = _TrustedHosts(settings.trusted_peers)
    assert all(peer in trusted for peer in ("10.0.0.7", "::ffff:10.0.0.7", "::ffff:172.20.1.1"))
    assert "::ffff:10.0.0.8" not in trusted
