"""Access tokens as text, and the server key that hashes them: a copy of the database alone lets nobody in."""

import hmac
import secrets
import string
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from latency_tables.whole_files import write_whole

PREFIX = "lut_"
KEY_FILE = "secret.key"
MIN_KEY_LENGTH = 32
_ALPHABET = string.digits + string.ascii_letters  # a double click selects the whole token
_RANDOM_LENGTH = 43  # 256 bits
_CHECK_LENGTH = 6
_LENGTH = len(PREFIX) + _RANDOM_LENGTH + _CHECK_LENGTH


class KeyUnusable(Exception):
    """The server key cannot be read or made; the message says what to do."""


@dataclass(frozen=True)
class ServerKey:
    """Every process on one database needs the same key."""

    secret: bytes = field(repr=False)

    @classmethod
    def random(cls) -> "ServerKey":
        return cls(secrets.token_bytes(32))

    @property
    def id(self) -> str:
        """A name of the key that does not reveal it: a token remembers which key hashed it."""
        return self.digest(b"the id of this key")[:16]

    def digest(self, token: bytes) -> str:
        """HMAC-SHA256 in hexadecimal."""
        return hmac.digest(self.secret, token, "sha256").hex()


@dataclass(frozen=True)
class KeySource:
    """The key itself, or its file; a file that was not named (`named` False) is made when it is first needed."""

    file: Path
    named: bool = False
    text: str | None = field(default=None, repr=False)

    def load(self) -> ServerKey:
        """The key, if there is one already.

        Raises:
            KeyUnusable: there is none, it is too short, or others may read its file.
        """
        if self.text is not None:
            return _key(self.text, "LUT_SECRET_KEY")
        try:
            text = self.file.read_text("utf-8-sig")
            mode = self.file.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise KeyUnusable(
                f"the server key {str(self.file)!r} cannot be read ({error}). Name it with LUT_SECRET_KEY_FILE, the "
                "same one for every process on this database; `lut-server token create` makes the first one"
            ) from error
        if mode & 0o077 and not self.named:
            raise KeyUnusable(f"the server key {str(self.file)!r} can be read by others: chmod 600 {self.file}")
        return _key(text, str(self.file))

    def load_or_make(self) -> ServerKey:
        """The key; the file is made, readable for its owner only, unless it was named.

        Raises:
            KeyUnusable: it cannot be read or made.
        """
        if self.text is None and not self.named and not self.file.exists():
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                write_secret(self.file, secrets.token_urlsafe(32) + "\n")
            except FileExistsError:
                pass  # another process was faster
            except OSError as error:
                raise KeyUnusable(
                    f"the server key {str(self.file)!r} cannot be made ({error.strerror}); "
                    "name another file with LUT_SECRET_KEY_FILE"
                ) from error
        return self.load()


def mint() -> str:
    """A new token: `lut_`, 256 random bits, and a checksum over both."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body.encode())


def is_well_formed(token: bytes) -> bool:
    """Whether the checksum is right. If not, the token was mistyped, cut off or made up, and needs no look-up."""
    body, check = token[:-_CHECK_LENGTH], token[-_CHECK_LENGTH:]
    return len(token) == _LENGTH and token.startswith(PREFIX.encode()) and check == _checksum(body).encode()


def write_secret(path: Path, text: str) -> None:
    """Write a new file that only its owner may read.

    Raises:
        OSError: it exists, or cannot be written.
    """
    write_whole(path, text.encode(), mode=0o600, fsync=True, new=True)


def _checksum(body: bytes) -> str:
    number = zlib.crc32(body)
    digits = ""
    for _ in range(_CHECK_LENGTH):
        number, rest = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[rest]
    return digits


def _key(text: str, origin: str) -> ServerKey:
    text = text.strip()
    if len(text) < MIN_KEY_LENGTH:
        raise KeyUnusable(
            f"the server key of {origin} has {len(text)} characters; it needs at least {MIN_KEY_LENGTH} random ones, "
            "as `openssl rand -base64 32` prints them"
        )
    return ServerKey(text.encode())
