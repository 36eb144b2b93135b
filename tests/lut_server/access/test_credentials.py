import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lut_server.access.failed_logins import MAX_ADDRESSES, MAX_FAILURES, WINDOW_S, FailedLogins
from lut_server.credentials import KeySource, KeyUnusable, ServerKey, is_well_formed, mint
from lut_server.settings import SettingsError, load_settings

TOKEN = mint()


def test_tokens_are_long_and_never_the_same() -> None:
    made = {mint() for _ in range(100)}
    assert len(made) == 100
    assert {len(token) for token in made} == {53}
    assert all(token.startswith("lut_") and token[4:].isalnum() for token in made)
    assert all(is_well_formed(token.encode()) for token in made)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii", categories=["L", "N"]))
def test_one_wrong_character_is_noticed(index: int, character: str) -> None:
    typed = TOKEN[:index] + character + TOKEN[index + 1 :]
    assert is_well_formed(typed.encode()) == (typed == TOKEN)


@given(st.binary(max_size=60))
def test_anything_else_is_no_token(text: bytes) -> None:
    assert not is_well_formed(text)


def test_a_hash_needs_the_key() -> None:
    key, other_key = ServerKey.random(), ServerKey.random()
    assert key.digest(b"x") != other_key.digest(b"x")
    assert key.id != other_key.id
    assert repr(key.secret) not in repr(key)


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    source = KeySource(tmp_path / "new" / "secret.key")
    with pytest.raises(KeyUnusable, match="token create"):
        source.load()
    key = source.load_or_make()
    assert source.load_or_make() == source.load() == key
    assert stat.S_IMODE(source.file.stat().st_mode) == 0o600
    assert [item.name for item in source.file.parent.iterdir()] == ["secret.key"]
    source.file.chmod(0o644)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        source.load()


def test_a_named_key_is_never_made_and_never_short(tmp_path: Path) -> None:
    file = tmp_path / "named"
    with pytest.raises(KeyUnusable, match="named"):
        KeySource(file, named=True).load_or_make()
    file.write_text("short\n")
    with pytest.raises(KeyUnusable, match="5 characters"):
        KeySource(file, named=True).load()
    file.write_text("k" * 32 + "\n")
    assert KeySource(file, named=True).load() == KeySource(file, text="k" * 32).load()


def test_settings_come_from_files(tmp_path: Path) -> None:
    url, password, key = tmp_path / "url", tmp_path / "password", tmp_path / "key"
    url.write_text("postgresql://lut@db/lut\n")
    password.write_text("p@ss/word:%\n")
    key.write_text("k" * 32)
    environment = {
        "LUT_DATABASE_URL_FILE": str(url),
        "LUT_DATABASE_PASSWORD_FILE": str(password),
        "LUT_SECRET_KEY_FILE": str(key),
        "LUT_HOST": "0.0.0.0",
        "LUT_TRUSTED_PROXIES": "10.0.0.1, 172.16.0.0/12",
    }
    settings = load_settings(environment)
    assert settings.database_url.password == "p@ss/word:%"
    assert settings.database_url.host == "db"
    assert settings.key.load().secret == b"k" * 32
    assert not settings.is_local
    assert "p@ss" not in repr(settings)
    for wrong, message in (
        ({"LUT_DATABASE_URL": "sqlite:///x"}, "give one of them"),
        ({"LUT_SECRET_KEY": "x" * 32}, "give one of them"),
        ({"LUT_DATABASE_PASSWORD_FILE": str(tmp_path / "none")}, "LUT_DATABASE_PASSWORD_FILE"),
        ({"LUT_TRUSTED_PROXIES": "proxy.example"}, "LUT_TRUSTED_PROXIES"),
        ({"LUT_TRUSTED_PROXIES": "*"}, "LUT_TRUSTED_PROXIES"),
    ):
        with pytest.raises(SettingsError, match=message):
            load_settings({**environment, **wrong})
    password.write_text("\n")
    with pytest.raises(SettingsError, match="empty"):
        load_settings(environment)


def test_failures_are_counted_per_address_and_window() -> None:
    failures = FailedLogins()
    for count in range(MAX_FAILURES):
        assert failures.blocked_for_s("192.0.2.1", 10.0 + count) == 0
        failures.count("192.0.2.1", 10.0 + count)
    assert failures.blocked_for_s("192.0.2.1", 30.0) == WINDOW_S - 20
    assert failures.blocked_for_s("192.0.2.2", 30.0) == 0
    assert failures.blocked_for_s("192.0.2.1", 10.0 + WINDOW_S) == 0
    failures.count("192.0.2.1", 10.0 + WINDOW_S)
    assert failures.blocked_for_s("192.0.2.1", 10.0 + WINDOW_S) == 0


def test_one_ipv6_network_is_one_address_and_memory_is_bounded() -> None:
    failures = FailedLogins()
    for count in range(MAX_FAILURES):
        failures.count(f"2001:db8::{count + 1:x}", 0.0)
    assert failures.blocked_for_s("2001:db8::ffff", 1.0) > 0
    assert failures.blocked_for_s("2001:db8:0:1::1", 1.0) == 0
    for number in range(MAX_ADDRESSES):
        failures.count(f"address {number}", 2.0)
    assert failures.blocked_for_s("2001:db8::ffff", 2.0) == 0, "the oldest one is forgotten"
