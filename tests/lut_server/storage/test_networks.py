"""Lists of networks with their results."""

from typing import Any

import pytest
from sqlalchemy import event

from lut_server.storage import networks
from lut_server.storage.database import Database
from tests.support.lut import Lut
from tests.support.scene import furnish


def _statements(database_url: str, limit: int) -> tuple[int, int]:
    """How many statements a page of networks takes that nobody has asked for before, and its results."""
    database = Database(database_url)
    statements: list[str] = []

    def count(*given: Any) -> None:
        statements.append(given[2])

    event.listen(database.engine, "before_cursor_execute", count)
    with database.read() as session:
        page = networks.page(session, None, limit)
    database.close()
    return len(statements), sum(len(record.results) for record in page.items)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_results_of_a_page_are_read_together(lut: Lut, database_url: str) -> None:
    furnish(lut)
    few, one = _statements(database_url, 1)
    many, all_of_them = _statements(database_url, 20)
    assert all_of_them > 10 * one > 0
    assert many == few
