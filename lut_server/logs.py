"""Log lines as text or as JSON, each with the id of its request; none has a secret or a control character."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import datetime, timezone
from functools import lru_cache
from typing import Literal

from latency_tables.plain_text import plain

LogFormat = Literal["text", "json"]

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class TextFormatter(logging.Formatter):
    """Time (UTC), level, logger, request id, message."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname} {record.name} [{request_id.get()}]: {plain(record.getMessage())}"
        return f"{line}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra["fields"]` become members."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": plain(record.getMessage()),
            "request_id": request_id.get(),
            **{
                name: plain(value) if isinstance(value, str) else value
                for name, value in getattr(record, "fields", {}).items()
            },
        }
        if record.exc_info:
            line["exception"] = plain(self.formatException(record.exc_info), lines=True)
        return json.dumps(line, default=str)


def _indented(text: str) -> str:
    """Text of several lines, none of which can be taken for a line of the log."""
    return "\n".join(f"  {line}" for line in plain(text, lines=True).splitlines())


def configure(log_format: LogFormat) -> None:
    """Log to standard error: this service's INFO, other libraries' warnings."""
    # No line shows thread or process, so they are not looked up (the logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("lut_server").setLevel(logging.INFO)


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=4)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
