"""What an input costs in the mean, where a network decides at run time how much to compute."""

from fastapi import APIRouter

from latency_tables.contract import Expectation, ExpectationRequest
from lut_server.nouns import MIB, Noun
from lut_server.problems import documented
from lut_server.routes.state import Parts
from lut_server.storage import predictions

NOUN = Noun(
    "expectations",
    tag="What inputs would cost in the mean, of networks whose cost depends on the input.",
    order=75,
    write="read",
    max_bytes=8 * MIB,
)
router = APIRouter(prefix="/expectations", tags=[NOUN.name], responses=documented(422, 503))


@router.post(
    "",
    operation_id="expect",
    summary="Expect the mean latency of inputs that take different paths: on a device, or on every device with a table",
    responses=documented(404),
)
def expect(parts: Parts, request: ExpectationRequest) -> tuple[Expectation, ...]:
    """For each device, in the order of their names, Σ rate · latency of the paths, and each path by itself.

    A path is a network: all that an input has executed until it gets its answer. Rates follow from weights, thresholds
    and inputs; the latencies are the device's. A table that lacks operations of a path is refused (422), with the list
    of what is missing. Without `device`, the answer covers the devices whose newest table has all operations; it is
    refused only if there is none.
    """
    with parts.database.read() as session:
        return predictions.expect(session, request)
