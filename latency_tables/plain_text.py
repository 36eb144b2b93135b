"""Text for people: no control character that a terminal or a log would obey, and no secret.

Whatever comes from elsewhere (an exception, an agent, a server, a header) passes here before it is printed, logged or
shown on a page.
"""

import re
from datetime import datetime, timezone

MASK = "…"

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements (ECMA-48, CSI)
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links (OSC)
    r"|\x1b[@-Z\\-_]"
)
_NOT_PLAIN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_TOKENS = re.compile(r"\blut_[0-9A-Za-z]{8,}")
_PASSWORDS = re.compile(r"(?<=://)[^/?#\s]*@")
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[0-9A-Za-z._~+/-]{8,}=*")
_PARAMETERS = re.compile(r"(?i)\b(password|passwd|pwd|secret|token)=[^\s&;,'\"]+")
_BREAKS = re.compile(r"\s*\n\s*|\t")
_HINTS = ("lut_", "@", "bearer", "basic", "passw", "pwd", "secret", "token=")
"""What texts with secrets have, in lower case."""


def plain(text: str, *, lines: bool = False) -> str:
    """The text without control characters and secrets; line breaks and tabs become spaces unless `lines`.

    Access tokens, credentials of an Authorization header, passwords in URLs and in parameters become "…". A control
    character becomes "�", an escape sequence of a terminal nothing.
    """
    # Every line of the log passes here, nearly all of them as they are: that is told in a microsecond.
    lower = text.lower()
    if text.isprintable() and not any(hint in lower for hint in _HINTS):
        return text
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    text = _NOT_PLAIN.sub("\ufffd", text)
    text = _TOKENS.sub(f"lut_{MASK}", text)
    text = _CREDENTIALS.sub(rf"\1 {MASK}", text)
    text = _PASSWORDS.sub(f"{MASK}@", text)
    text = _PARAMETERS.sub(rf"\1={MASK}", text)
    return text if lines else _BREAKS.sub(" ", text)


def file_error(error: OSError) -> str:
    """What is wrong with a file, without the number of the error."""
    if error.filename is None:
        return str(error)
    return (
        f"no file {error.filename}" if isinstance(error, FileNotFoundError) else f"{error.filename}: {error.strerror}"
    )


def moment(instant: datetime) -> str:
    """A date and a time, with its zone."""
    return f"{instant.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def age(seconds: float) -> str:
    """A duration in the largest unit that it fills: 40 s, 12 min, 5 h, 3 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(int(seconds), 0)} s"
