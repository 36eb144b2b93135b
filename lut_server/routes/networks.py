"""Networks under their digests."""

from typing import Annotated

from fastapi import APIRouter, Path

from latency_tables.contract import Digest, NetworkName, NetworkRecord, NetworkSpec, Page
from lut_server.errors import Unprocessable
from lut_server.nouns import MIB, Noun
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, Limit, Parts
from lut_server.storage import networks

NOUN = Noun(
    "networks",
    tag="Networks, with their predicted and measured latencies.",
    order=80,
    write="search",
    max_bytes=8 * MIB,
)
router = APIRouter(prefix="/networks", tags=[NOUN.name], responses=documented(422, 503))
NetworkDigest = Annotated[Digest, Path(description="SHA-256 of the network's canonical JSON.")]


@router.get("", operation_id="list_networks", summary="All networks, with their results on every device")
def list_networks(parts: Parts, after: After = None, limit: Limit = DEFAULT_LIMIT) -> Page[NetworkRecord]:
    with parts.database.read() as session:
        return networks.page(session, after, limit)


@router.get("/{digest}", operation_id="get_network", summary="One network", responses=documented(404))
def get_network(parts: Parts, digest: NetworkDigest) -> NetworkRecord:
    with parts.database.read() as session:
        return networks.get(session, digest)


@router.put("/{digest}", operation_id="put_network", summary="Store a network under its digest")
def put_network(parts: Parts, digest: NetworkDigest, network: NetworkSpec) -> NetworkRecord:
    if network.digest != digest:
        raise Unprocessable(
            f"digest={digest!r}: the network's digest is {network.digest}; they must be equal",
            field="digest",
            value=digest,
        )
    with parts.database.write() as session:
        return networks.put(session, network, parts.clock())


@router.put("/{digest}/name", operation_id="name_network", summary="Name a network", responses=documented(404))
def name_network(parts: Parts, digest: NetworkDigest, name: NetworkName) -> NetworkRecord:
    """For people: pages show it. Another name takes its place."""
    with parts.database.write() as session:
        return networks.set_name(session, digest, name.name)
