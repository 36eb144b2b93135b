from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lut_server.storage.database import Database
from lut_server.storage.memory import Memory, remembered


def test_a_value_is_computed_once_and_the_memory_stays_small() -> None:
    memory: Memory[int, int] = Memory(limit=3)
    computed: list[int] = []

    def square(number: int) -> int:
        computed.append(number)
        return number * number

    for number in (1, 2, 1, 2):
        assert memory.get(number, partial(square, number)) == number * number
    assert computed == [1, 2]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: memory.get(number, partial(square, number)), list(range(50)) * 4))
    assert results == [number * number for number in range(50)] * 4


def test_of_several_values_those_that_are_not_remembered_are_computed_at_once() -> None:
    memory: Memory[int, int] = Memory(limit=3)
    asked: list[list[int]] = []

    def squares(numbers: Sequence[int]) -> dict[int, int]:
        asked.append(list(numbers))
        return {number: number * number for number in numbers}

    assert memory.get_all([1, 2], squares) == {1: 1, 2: 4}
    assert memory.get_all([2, 3, 1], squares) == {2: 4, 3: 9, 1: 1}
    assert memory.get_all([1, 2, 3], squares) == {1: 1, 2: 4, 3: 9}
    assert asked == [[1, 2], [3]]
    assert memory.get_all(range(9), squares) == {number: number * number for number in range(9)}, "more than it keeps"


def test_two_databases_of_a_process_remember_apart(tmp_path: Path) -> None:
    first, second = (Database(f"sqlite:///{tmp_path}/{name}.sqlite") for name in ("first", "second"))
    with first.read() as session:
        assert remembered(session, "names", 10, 1, lambda: "first") == "first"
    with second.read() as session:
        assert remembered(session, "names", 10, 1, lambda: "second") == "second"
    with first.write() as session:
        assert remembered(session, "names", 10, 1, lambda: "again") == "first"
    first.close()
    second.close()
