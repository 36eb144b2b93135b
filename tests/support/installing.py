"""Search spaces as agents have them: installed by pip."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def install(source: Path, site: Path) -> None:
    """Install the distribution in `source` into the folder `site`, for PYTHONPATH; nothing is downloaded."""
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    with tempfile.TemporaryDirectory() as folder:
        # Elsewhere, because setuptools leaves a build folder beside what it builds.
        copied = shutil.copytree(source, Path(folder) / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", site, copied], check=True)
