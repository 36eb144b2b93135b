"""Pages and pictures as answers: everything in them is escaped, and an unknown name is an error."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from latency_tables.plain_text import moment, plain
from lut_server.pages import calibration_charts, charts, drawing, formatting
from lut_server.pages.labels import labels

MEDIA_TYPE = "text/html"
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from other sites, no script but our own files; pictures have their style inside."""


def picture(svg: str) -> Response:
    """An SVG picture; opened on its own it can load nothing."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(svg, headers=headers, media_type=drawing.MEDIA_TYPE)


TOP = "./"
BELOW = "../"
"""Where the server's first page is, as a page of one or of two parts of a path links to it. Links are relative: they
hold below any path of a proxy."""


def root_of(path: str) -> str:
    """Where the server's first page is, seen from a path."""
    return BELOW * (path.count("/") - 1) or TOP


def page(template: str, root: str, status: int = 200, **context: Any) -> Response:
    """A page; browsers may load only our own files for it."""
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
    return Response(render(template, root=root, **context), status, headers, "text/html; charset=utf-8")


def document(template: str, **context: Any) -> Response:
    """A page for the docs page and for saving: it brings its style sheet and links to nothing."""
    headers = {"Content-Security-Policy": POLICY}
    return Response(render(template, style=_style(), **context), 200, headers, "text/html; charset=utf-8")


def render(template: str, **context: Any) -> str:
    return _environment().get_template(template).render(**context)


@lru_cache(maxsize=1)
def _style() -> str:
    return files("lut_server.pages").joinpath("static").joinpath("style.css").read_text()


def _finalize(value: Any) -> Any:
    """What a template shows: no control characters and no secrets."""
    return plain(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lut_server.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("age", "interval", "latency", "memory", "one_decimal", "params", "percent", "ratio"):
        environment.filters[name] = getattr(formatting, name)
    for name in ("field", "selector", "shapes", "since", "size", "whole"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["moment"] = moment
    environment.globals["doubt"] = formatting.doubt
    environment.globals["zip"] = zip
    environment.globals["labels"] = labels
    environment.globals["comparison_chart"] = charts.comparison_chart
    environment.globals["calibration_chart"] = calibration_charts.calibration_chart
    environment.globals["table_chart"] = charts.table_chart
    return environment
