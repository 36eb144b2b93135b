"""The API on PostgreSQL; a file of its own, so that both databases are tried at the same time."""

from pathlib import Path

import pytest

from tests.support.api_check import check_api

pytestmark = pytest.mark.process


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_server_does_what_its_api_says(database_url: str, tmp_path: Path) -> None:
    check_api(database_url, tmp_path)
