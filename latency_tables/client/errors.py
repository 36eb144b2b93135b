"""The exceptions of the client, one small tree; every message says what to do."""

from uuid import UUID

import httpx
from pydantic import ValidationError

from latency_tables.contract import ErrorCard, Job, Problem


class LutError(Exception):
    """The server did not do what was asked; the message says what to do."""

    def __init__(self, message: str, *, status: int | None = None, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class ServerUnavailable(LutError):
    """No answer, or only the answer that the server is busy, for as long as the client retries."""


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
                f"its calibrated predictions are {card.calibrated.mape:.1%} off in the mean and "
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
    request = response.request
    message = f"{problem.title}: {problem.detail}" if problem else f"{request.method} {request.url} answered {status}"
    return kind(message, status=status, problem=problem)
