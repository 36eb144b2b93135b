"""What people read has no control character that a terminal obeys, and no secret."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from latency_tables.contract import Runtime
from latency_tables.plain_text import file_error, plain
from latency_tables.validation import first_error


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("bell\x07 back\x08space", "bell\ufffd back\ufffdspace"),
        ("\x9b31m", "\ufffd31m"),
        ("user\u202egpj.exe", "user\ufffdgpj.exe"),
        ("one\r\nINFO forged line", "one INFO forged line"),
        ("over\rwritten", "over\ufffdwritten"),
        ("a\u2028b", "a\ufffdb"),
        ("half \ud800", "half \ufffd"),
        ("Bearer lut_SECRETSECRETSECRET", "Bearer lut_…"),
        ("token lut_SECRETSECRETSECRET\r", "token lut_…\ufffd"),
        ("Basic dXNlcjpTRUNSRVQ=", "Basic …"),
        ("postgresql://lut:SE:CR@ET@host/db?password=SECRET&x=1", "postgresql://…@host/db?password=…&x=1"),
        ("http://me:SECRET@proxy:3128", "http://…@proxy:3128"),
        ("Überlänge 東京 наука ✓ 3×3", "Überlänge 東京 наука ✓ 3×3"),
        ("mail anna@example.org", "mail anna@example.org"),
    ],
)
def test_control_characters_and_secrets(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


def test_lines_stay_where_they_are_asked_for() -> None:
    assert plain("a\n  b\tc", lines=True) == "a\n  b\tc"
    assert plain("a\n  b\tc") == "a b c"


def test_what_is_wrong_with_a_file_is_said_without_numbers(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere") as missing:
        (tmp_path / "nowhere").read_text()
    assert file_error(missing.value) == f"no file {tmp_path / 'nowhere'}"
    with pytest.raises(OSError, match="directory") as folder:
        tmp_path.read_text()
    assert file_error(folder.value) == f"{tmp_path}: Is a directory"


def test_a_value_that_is_none_of_those_there_are_is_named() -> None:
    with pytest.raises(ValidationError) as error:
        Runtime.model_validate({"precision": "fp99"})
    assert first_error(error.value, "runtime") == "precision: 'fp99' is not 'fp32', 'tf32', 'fp16', 'bf16' or 'int8'"


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(ValidationError) as error:
        Runtime.model_validate({"precision": "x" * 10_000})
    assert len(first_error(error.value, "runtime")) < 300
