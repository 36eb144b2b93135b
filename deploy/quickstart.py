"""Set up `.venv` if need be, then run the whole loop on this machine: `python3 deploy/quickstart.py`.

`--install EXTRAS` only installs.

Standard library only, so that any Python 3.10 can start it; the loop itself is deploy/loop.py.
"""

import hashlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"
EXTRAS = "agent,search,server"
ALL_EXTRAS = "dev"


class SetupError(Exception):
    """The environment could not be made; the message says what to do."""


def _fingerprint() -> str:
    sources = (ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes()
    return hashlib.sha256(sources).hexdigest()


def install(extras: str) -> None:
    """Make `.venv` and install the project with `extras` into it.

    Nothing to do where that was done with these very requirements, or where ALL_EXTRAS were installed with them.

    Raises SetupError when Python is too old, has no venv, or the installation fails.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 (it is run before anything is installed)
        raise SetupError(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}: {sys.executable}")
    stamp = VENV / f".installed-{extras}"
    for done in (stamp, VENV / f".installed-{ALL_EXTRAS}"):
        if done.exists() and done.read_text() == _fingerprint():
            return
    if not PYTHON.exists():
        with _step(f"making {VENV}"):
            try:
                venv.create(VENV, with_pip=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise SetupError(
                    f"cannot make {VENV}: {error}. Is Python's venv installed (on Debian: python3-venv)?"
                ) from error
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--quiet", "--no-compile"]
    pip += ["--disable-pip-version-check", "--constraint", str(CONSTRAINTS)]
    # torch by itself first: it is most of the download.
    for name, arguments in (("torch", ["torch"]), (f"lgcnet[{extras}]", ["--editable", f"{ROOT}[{extras}]"])):
        with _step(f"installing {name} into {VENV}"):
            if subprocess.run([*pip, *arguments], check=False).returncode:
                raise SetupError(
                    f"pip could not install {name} (its message is above); then run {Path(__file__)} again"
                )
    stamp.write_text(_fingerprint())


@contextmanager
def _step(description: str) -> Iterator[None]:
    """One line for a step that takes a while: what it is, and how long it took."""
    print(f"{description} …", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(flush=True)
        raise
    print(f" {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    arguments = sys.argv[1:]
    only = arguments[:1] == ["--install"]
    try:
        install(arguments[1] if only else EXTRAS)
    except SetupError as error:
        sys.exit(f"quickstart: {error}")
    if not only:
        os.chdir(ROOT)
        # pip left bytecode to be written as modules are imported: without it every process compiles torch anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.execv(PYTHON, [str(PYTHON), "-m", "deploy.loop", *arguments])


if __name__ == "__main__":
    main()
