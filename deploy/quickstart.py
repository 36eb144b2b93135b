"""Set up `.venv` if need be, then run the whole loop on this machine: `python3 deploy/quickstart.py`.

Standard library only, so that any Python 3.10 can start it; the loop itself is deploy/loop.py.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"
EXTRAS = "agent,search,server"


class SetupError(Exception):
    """The environment could not be made; the message says what to do."""


def _fingerprint() -> str:
    sources = (ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes()
    return hashlib.sha256(sources).hexdigest()


def install() -> None:
    """Make `.venv` and install the project into it, unless that was done with these very requirements.

    Raises SetupError when Python is too old, has no venv, or the installation fails.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 (it is run before anything is installed)
        raise SetupError(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}: {sys.executable}")
    stamp = VENV / ".requirements"
    if stamp.exists() and stamp.read_text() == _fingerprint():
        return
    if not PYTHON.exists():
        print(f"making {VENV}", flush=True)
        try:
            venv.create(VENV, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SetupError(
                f"cannot make {VENV}: {error}. Is Python's venv installed (on Debian: python3-venv)?"
            ) from error
    print(f"installing lgcnet[{EXTRAS}] into {VENV}; the first time this takes some minutes", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--constraint", str(CONSTRAINTS)]
    if subprocess.run([*pip, "--editable", f"{ROOT}[{EXTRAS}]"], check=False).returncode:
        raise SetupError(
            f"pip could not install the requirements (its message is above); then run {Path(__file__)} again"
        )
    stamp.write_text(_fingerprint())


def main() -> None:
    try:
        install()
    except SetupError as error:
        sys.exit(f"quickstart: {error}")
    arguments = sys.argv[1:]
    if arguments != ["--install-only"]:
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "deploy.loop", *arguments])


if __name__ == "__main__":
    main()
