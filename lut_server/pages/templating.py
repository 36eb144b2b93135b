"""Pages and pictures as answers: everything in them is escaped, and an unknown name is an error."""

from functools import lru_cache
from typing import Any

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from lut_server.pages import calibration_charts, charts, drawing, formatting

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


def page(template: str, status: int = 200, **context: Any) -> Response:
    """A page; browsers may load only our own files for it."""
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
    return Response(render(template, **context), status, headers, "text/html; charset=utf-8")


def render(template: str, **context: Any) -> str:
    return _environment().get_template(template).render(**context)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lut_server.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("age", "interval", "latency", "memory", "one_decimal", "params", "percent", "ratio"):
        environment.filters[name] = getattr(formatting, name)
    for name in ("field", "selector", "shapes", "since", "task", "whole"):
        environment.filters[name] = getattr(formatting, name)
    environment.globals["comparison_chart"] = charts.comparison_chart
    environment.globals["calibration_chart"] = calibration_charts.calibration_chart
    environment.globals["table_chart"] = charts.table_chart
    return environment
