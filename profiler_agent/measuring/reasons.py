"""Why something cannot be measured, in a few words: for whoever posted the job, on a page, in a log."""

import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

from latency_tables.plain_text import plain

MAX_REASON = 500
MAX_SUMMARY = 3600
OURS = Path(__file__).parent.parent
LIBRARIES = frozenset({"torch", "onnxruntime", "onnx", "onnxscript", "tensorrt", "importlib"})
"""Folders whose lines are not the module's own."""

_USER_CODE = re.compile(r'File "([^"]+)", line (\d+), in \S+\n\s*(\S[^\n]*)')


def reason_of(error: BaseException) -> str:
    """The innermost cause in a line of at most MAX_REASON characters, then the line of the module that it came from.

    PyTorch's exporter wraps the reason into a page of advice, with the line of code at its end.
    """
    chain = list(_causes(error))
    innermost = chain[-1] if _is_exporter(error) else error
    first = plain(str(innermost).strip().split("\n\n")[0])
    text = f"{type(innermost).__name__}: {first}"
    if len(text) > MAX_REASON:
        text = text[:MAX_REASON] + "…"
    line = next(filter(None, map(_own_line, reversed(chain))), None)
    return f"{text} (at {line})" if line else text


def summary(failures: Mapping[str, str], total: int) -> str:
    """The reasons of all keys that fit into MAX_SUMMARY characters, and how many more there are."""
    shown: list[str] = []
    for reason in failures.values():
        if shown and sum(map(len, shown)) + len(reason) > MAX_SUMMARY:
            break
        shown.append(reason)
    more = len(failures) - len(shown)
    rest = f"; and {more} more" if more else ""
    return f"{len(failures)} of {total} keys cannot be measured: {'; '.join(shown)}{rest}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_exporter(error: BaseException) -> bool:
    return type(error).__module__.startswith("torch.onnx") and error.__cause__ is not None


def _own_line(error: BaseException) -> str | None:
    """File, number and text of the last line that is neither a library's nor the agent's."""
    frames = [(frame.filename, frame.lineno, frame.line) for frame in traceback.extract_tb(error.__traceback__)]
    frames += [(name, int(number), line) for name, number, line in _USER_CODE.findall(str(error))]
    for name, number, line in reversed(frames):
        path = Path(name)
        if path.is_relative_to(OURS):
            return None  # what called this is not the module
        if path.is_absolute() and line and not LIBRARIES.intersection(path.parts):
            return plain(f"{path.name}, line {number}: {line.strip()[:160]}")
    return None
