"""Refusals as pages, for whoever reads them in a browser."""

import re
from collections.abc import Mapping

from fastapi import Request, Response

from lut_server.pages.templating import page, root_of

_ASK_THE_API = re.compile(
    r"[;.,]? (?:GET|PUT) /v1/\S+ (?:lists those there are|lists the existing tables)|\. /docs lists all requests"
)


def problem_page(
    request: Request,
    status: int,
    title: str,
    detail: str,
    anyway: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A refusal with links; whoever reads it asks no API. `anyway`: where to go all the same."""
    detail = _ASK_THE_API.sub("", detail)
    root = root_of(request.scope["path"])
    answer = page("problem.html", root, status, here="", title=title, detail=detail, anyway=anyway)
    answer.headers.update(headers or {})
    return answer
