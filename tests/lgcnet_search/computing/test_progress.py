"""How far a command is, where there is no terminal."""

import io
import time

from rich.console import Console

from lgcnet_search.computing import progress
from lgcnet_search.computing.progress import Lines, progress_bar


def test_a_line_says_how_much_is_done_and_how_long_the_rest_takes() -> None:
    now = 0.0
    lines = Lines(Console(file=io.StringIO()), "searching", 400, lambda: now)
    assert str(lines) == "searching  0/400"
    lines.update(completed=1)
    now = 60.0
    lines.update(completed=101, note="CE 1.234")
    assert str(lines) == "searching  101/400  3 min left  CE 1.234"
    lines.update(advance=260)
    assert str(lines) == "searching  361/400  6 s left  CE 1.234"
    lines.update(description="evaluating", total=10, completed=0, note="")
    now = 70.0
    lines.update(advance=5)
    assert str(lines) == "evaluating  5/10  10 s left"


def test_what_a_resumed_run_had_done_says_nothing_of_its_pace() -> None:
    now = 0.0
    lines = Lines(Console(file=io.StringIO()), "training", 4000, lambda: now)
    lines.update(completed=1400)
    assert str(lines) == "training  1400/4000"
    now = 60.0
    lines.update(completed=1500)
    assert str(lines) == "training  1500/4000  25 min left"


def test_lines_come_without_a_terminal_also_while_nothing_is_updated() -> None:
    assert progress.LINE_EVERY_S == 30
    output = io.StringIO()
    with progress_bar("measuring", None, console=Console(file=output)) as show:
        show(completed=3)
    assert output.getvalue() == "", "half a minute has not passed"
    lines = Lines(Console(file=output), "measuring", None)
    with lines.written_every(0.01):
        deadline = time.monotonic() + 10
        while output.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert output.getvalue().splitlines()[:2] == ["measuring  0"] * 2


def test_a_bar_that_is_not_shown_writes_nothing() -> None:
    output = io.StringIO()
    with progress_bar("measuring", 3, shown=False, console=Console(file=output)) as show:
        show(advance=1)
    assert output.getvalue() == ""
