import shutil
from pathlib import Path

import pytest


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """SQLite only: the client does not see which database its server has."""
    path = tmp_path / "lut.sqlite"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"
