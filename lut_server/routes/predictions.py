"""Predictions of networks that need not be stored."""

from fastapi import APIRouter

from latency_tables.contract import Prediction, PredictionRequest
from lut_server.nouns import MIB, Noun
from lut_server.problems import documented
from lut_server.routes.state import Parts
from lut_server.storage import predictions

NOUN = Noun(
    "predictions",
    tag="What networks would cost, on one device or on all, with intervals.",
    order=70,
    write="read",
    max_bytes=8 * MIB,
)
router = APIRouter(prefix="/predictions", tags=[NOUN.name], responses=documented(422, 503))


@router.post(
    "",
    operation_id="predict",
    summary="Predict the latency of networks: on a device, or on every device that has a table",
    responses=documented(404),
)
def predict(parts: Parts, request: PredictionRequest) -> tuple[Prediction, ...]:
    """For each device, in the order of their names, a prediction of each network.

    A table that lacks operations of a network is refused (422), with the list of what is missing. Without `device`,
    the answer covers the devices whose newest table has all operations; it is refused only if there is none.

    A device without a table is predicted by its newest transfer; `by` asks for one of the two.
    """
    with parts.database.read() as session:
        return predictions.predict(session, request)
