"""The exceptions of the client, one small tree; every message says what to do."""

from uuid import UUID

import httpx
from pydantic import ValidationError

from latency_tables.contract import ErrorCard, Job, Problem
from latency_tables.plain_text import plain


class LutError(Exception):
    """The server did not do what was asked; the message says what to do."""

    def __init__(self, message: str, *, status: int | None = None, problem: Problem | None = None) -> None:
        super().__init__(plain(message))
        self.status = status
        self.problem = problem


class ServerUnavailable(LutError):
    """No answer, or only the answer that the server is busy, for as long as the client retries; `reason` in short."""

    def __init__(
        self, message: str, *, reason: str = "", status: int | None = None, problem: Problem | None = None
    ) -> None:
        super().__init__(message, status=status, problem=problem)
        self.reason = plain(reason or message)


class Misdirected(LutError):
    """No server was reached and none will be: the address, its scheme or a certificate is wrong. Ask no more.

    `status` is 421, as a server answers that is not the one that was meant (RFC 9110, Misdirected Request).
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, status=421)


class NotFound(LutError):
    """404: no such thing; the message names those there are."""


class Conflict(LutError):
    """409: the id has other content, or the state does not allow the request."""


class LeaseLost(LutError):
    """410: the lease ended or another token holds it; stop working on its job."""


class Rejected(LutError):
    """422 and all other 4xx: the message names the field, the value and the way out."""


class JobFailed(LutError):
    """The job that was waited for failed or was cancelled."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} {job.state}: {job.error or 'no reason given'}")
        self.job = job


class NotAccurate(LutError):
    """A table's predictions are less accurate than `max_mape`, or of unknown accuracy: then `card` is None."""

    def __init__(self, table_id: UUID, max_mape: float, card: ErrorCard | None) -> None:
        if card is None:
            reason = (
                "no network was measured, so the error of its predictions is unknown. Have its device measure networks "
                "of its space, three at least (submit_job), and ask again"
            )
        else:
            reason = (
                f"its calibrated predictions have a {card.error}, "
                f"{card.calibrated.max_rel:.1%} at most (the raw sums {card.raw.mape:.1%} in the mean), over "
                f"{card.networks} networks, the last of them measured {card.measured_at:%Y-%m-%d}. Have its device "
                "measure more networks, or its doubtful operations again on a quieter machine (lgcnet-search profile "
                "--again, or a job with repeat_doubtful); or accept a larger error"
            )
        super().__init__(f"max_mape={max_mape:g}: table {table_id} is refused: {reason}")
        self.table_id = table_id
        self.max_mape = max_mape
        self.card = card


class UnreadableTable(LutError):
    """A file holds no table, or its content is not what was exported."""


_ERRORS: dict[int, type[LutError]] = {404: NotFound, 409: Conflict, 410: LeaseLost}
_HINTS = {401: ". Give it in LUT_TOKEN, in a file that LUT_TOKEN_FILE names, or with --token-file"}


def problem_of(response: httpx.Response) -> Problem | None:
    """The problem document of a response, None if it has none."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def error_of(response: httpx.Response) -> LutError:
    """The exception for the status of a response."""
    status = response.status_code
    problem = problem_of(response)
    kind = _ERRORS.get(status, Rejected if 400 <= status < 500 else LutError)
    if problem:
        return kind(f"{problem.title}: {problem.detail}{_HINTS.get(status, '')}", status=status, problem=problem)
    request = response.request
    answered = f"{request.method} {request.url} answered {status}, not as a lut-server does"
    if response.has_redirect_location:
        return Misdirected(f"{answered}: it points to {response.headers['Location']}; give the URL of the server there")
    if status in (404, 405):
        return kind(f"{answered}; is the path before /v1 right?", status=status)
    if status == 407:
        return Misdirected(f"{answered}: a proxy asks who you are; name and password stand in HTTP_PROXY")
    return kind(f"{answered}; is the URL right, http or https too?", status=status)
