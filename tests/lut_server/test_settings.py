"""Settings as environments and secret files have them."""

from pathlib import Path

import pytest

from lut_server.credentials import KeySource
from lut_server.settings import SettingsError, load_settings


@pytest.mark.parametrize("around", ["{}\r", "{}\r\n", " {}\t"])
def test_white_space_around_a_value_is_left_out(around: str, tmp_path: Path) -> None:
    """As `docker --env-file` reads a file with Windows line ends."""
    settings = load_settings(
        {
            "LUT_DATABASE_URL": around.format("postgresql://lut@database/lut"),
            "LUT_DATABASE_PASSWORD": around.format("SECRET"),
            "LUT_PORT": around.format("8001"),
            "LUT_LOG_FORMAT": around.format("json"),
            "LUT_DATA_DIR": around.format(str(tmp_path)),
            "LUT_ROOT_PATH": around.format("/team/lut/"),
        }
    )
    assert settings.database_url.password == "SECRET"
    assert (settings.port, settings.log_format, settings.root_path) == (8001, "json", "/team/lut")


@pytest.mark.parametrize("name", ["LUT_DATABASE_PASSWORD", "LUT_SECRET_KEY", "LUT_DATABASE_URL"])
def test_a_control_character_in_a_secret_is_named_without_showing_it(name: str, tmp_path: Path) -> None:
    secret = "postgresql://lut:HIDDEN\r@host/lut"
    (tmp_path / "file").write_text(secret + "\nmore")
    environment = {"LUT_DATABASE_URL": "postgresql://lut@host/lut", "LUT_DATA_DIR": str(tmp_path)}
    for given in ({name: secret}, {f"{name}_FILE": str(tmp_path / "file")}):
        if name == "LUT_SECRET_KEY" and f"{name}_FILE" in given:
            continue  # the key's file is read when it is needed
        without = {key: value for key, value in environment.items() if key != name}
        with pytest.raises(SettingsError, match=rf"{name}.* control character as character \d+") as refused:
            load_settings({**without, **given})
        assert "HIDDEN" not in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_a_setting(tmp_path: Path) -> None:
    for name, content in (("password", "SECRET"), ("key", "k" * 64)):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content.encode() + b"\r\n")
    settings = load_settings(
        {
            "LUT_DATABASE_URL": "postgresql://lut@host/lut",
            "LUT_DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
            "LUT_SECRET_KEY_FILE": str(tmp_path / "key"),
        }
    )
    assert settings.database_url.password == "SECRET"
    assert settings.key.load().id == KeySource(tmp_path / "none", text="k" * 64).load().id


@pytest.mark.parametrize("path", ["/a/../b", "/a b", "http://host/lut", "/a?b"])
def test_a_root_path_is_a_path(path: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give it like /lut"):
        load_settings({"LUT_DATA_DIR": str(tmp_path), "LUT_ROOT_PATH": path})
