from fastapi import APIRouter

from lut_server.prediction import raw_sum_us
from lut_server.problems import documented
from lut_server.routes.state import Lut
from lut_server.schemas import Prediction, PredictionRequest
from lut_server.storage import tables

router = APIRouter(prefix="/predictions", tags=["predictions"], responses=documented(422, 503))


@router.post(
    "",
    operation_id="predict",
    summary="Predict a network's latency from the newest table of a device",
    responses=documented(404),
)
def predict(lut: Lut, request: PredictionRequest) -> Prediction:
    """A table that lacks operations of the network is refused (422), with the list of what is missing."""
    network = request.network
    with lut.database.read() as session:
        found = tables.find_newest(session, request.device, request.runtime, network.space, network.space_digest)
        table = tables.get(session, found.id)
    return Prediction(
        network=network.digest,
        device=table.device,
        environment=found.environment,
        runtime=table.runtime,
        predicted_us=raw_sum_us(table, network),
        table_id=table.id,
    )
