"""Make the secrets of docker-compose.yml, each once: `python3 deploy/make_secrets.py`. Standard library only."""

import os
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "secrets"
MADE = ("database_password", "server_key")
TO_COME = ("agent_token", "metrics_token")


def make(folder: Path) -> list[str]:
    """Write what is missing; the names of what was written. What is there is never changed.

    Only the owner may enter the folder. The files themselves may be read by all, because containers read them as users
    of their own.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    written = []
    for name in (*MADE, *TO_COME):
        path = folder / name
        if not path.exists():
            path.write_text(secrets.token_urlsafe(32) + "\n" if name in MADE else "")
            os.chmod(path, 0o644)
            written.append(name)
    return written


def main() -> None:
    written = make(FOLDER)
    print(f"{FOLDER}: made {', '.join(written) or 'nothing, all there'}", file=sys.stderr)


if __name__ == "__main__":
    main()
