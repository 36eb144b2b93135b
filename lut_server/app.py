"""The application: routes over one database, problem documents, and the sweep that ends leases."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from lut_server import problems, routes
from lut_server.access.auth import Access
from lut_server.access.below_path import BelowPath
from lut_server.access.gate import Gate
from lut_server.access.openapi import describe_access
from lut_server.clock import Clock, utc_now
from lut_server.credentials import ServerKey
from lut_server.nouns import collect
from lut_server.pages.problem import problem_page
from lut_server.routes import docs
from lut_server.routes.state import State
from lut_server.service.hot_tables import AnswerHotTables, HotTables
from lut_server.service.metrics import Requests, ServiceCollector
from lut_server.service.observing import ObserveRequests
from lut_server.service.readiness import Readiness
from lut_server.service.waiting import WaitingRoom
from lut_server.storage import figures
from lut_server.storage import leases as lease_storage
from lut_server.storage.database import READ_THREADS, THREADS, Database

SWEEP_EVERY_S = 5.0
DESCRIPTION = """Latency tables for neural architecture search, measured on real devices.

An agent on each device measures the operations of a search space; the server keeps the latencies as tables; a search
fetches the table of its target device; the network it finds is measured on the same device, end to end.
Latencies are microseconds. Errors are problem documents (RFC 9457) that name field, value and the way out.
"""

log = logging.getLogger(__name__)


def create_app(
    database: Database,
    clock: Clock = utc_now,
    stopping: Callable[[], bool] = lambda: False,
    access: Access | None = None,
    root_path: str = "",
) -> FastAPI:
    """The service over a database whose schema is up to date.

    `clock` decides when leases end. Once `stopping` returns True, waiting requests are answered at once. Without
    `access`, everybody on this machine may do everything until the database has tokens. `root_path` as in Settings.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        current_default_thread_limiter().total_tokens = THREADS
        sweep = asyncio.create_task(_sweep(database, clock))
        yield
        sweep.cancel()

    routers = collect(routes)
    app = FastAPIOffline(
        title="lut-server",
        description=DESCRIPTION,
        version="1",
        openapi_tags=[{"name": noun.name, "description": noun.tag} for noun in routers if noun.tag],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name scheme, host and path as seen behind the proxy
    )
    access = access or Access(database, ServerKey.random, clock, open_to_local=True)
    hot_tables = HotTables()
    registry = CollectorRegistry()
    registry.register(ServiceCollector(partial(_figures, database, clock)))
    app.state.lut = State(
        database=database,
        access=access,
        clock=clock,
        stopping=stopping,
        hot_tables=hot_tables,
        registry=registry,
        readiness=Readiness(database),
        read_threads=CapacityLimiter(READ_THREADS),
        waiting_room=WaitingRoom(partial(_with_work, database, clock), stopping),
    )
    problems.install(app, problem_page)
    app.add_middleware(AnswerHotTables, tables=hot_tables)
    app.add_middleware(Gate, access=access, nouns={noun.name: noun for noun in routers})
    if root_path:
        app.add_middleware(BelowPath, path=root_path)
    app.add_middleware(ObserveRequests, requests=Requests(registry))  # added last, so it runs first
    for noun, router in routers.items():
        app.include_router(router, prefix=noun.prefix)
    app.mount("/static", StaticFiles(packages=[("lut_server.pages", "static")]))
    describe_access(app)
    docs.install(app, database, root_path)
    return app


async def _sweep(database: Database, clock: Clock) -> None:
    """End overdue leases even while no agent asks for work, so that jobs fail in time."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await run_in_threadpool(_expire, database, clock())
        except (SQLAlchemyError, OSError) as error:
            log.warning("leases were not swept: %s", error)


def _expire(database: Database, now: datetime) -> None:
    with database.read() as session:
        overdue = lease_storage.overdue(session, now)
    if overdue:
        with database.write() as session:
            lease_storage.expire(session, now)


def _figures(database: Database, clock: Clock) -> figures.Figures:
    with database.read() as session:
        return figures.read(session, clock())


def _with_work(database: Database, clock: Clock, uuids: Collection[str]) -> Collection[str]:
    _expire(database, clock())
    with database.read() as session:
        return lease_storage.with_work(session, uuids)
