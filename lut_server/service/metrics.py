"""What Prometheus reads: requests as they are answered, and the state of the database when it asks."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lut_server.storage.figures import Figures

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)


class Requests:
    """Duration of requests by method, route template and status; the histogram's count is their number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            "lut_http_request_duration_seconds",
            "Duration of HTTP requests",
            ["method", "route", "status"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._histogram.labels(*map(str, key))
        child.observe(seconds)


class ServiceCollector(Collector):
    """Queue, leases, measurements and tables, read from the database at each scrape."""

    def __init__(self, read: Callable[[], Figures]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        return []  # known only once the database is read, which registering must not do

    def collect(self) -> Iterator[Metric]:
        figures = self._read()
        jobs = GaugeMetricFamily("lut_jobs", "Jobs by state", labels=["state"])
        for state, count in figures.jobs.items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily("lut_queue_length", "Jobs that wait for an agent", figures.jobs.get("queued", 0))
        yield GaugeMetricFamily(
            "lut_queue_oldest_age_seconds", "Age of the oldest waiting job; 0 without one", figures.queue_age_s
        )
        yield GaugeMetricFamily("lut_leases_active", "Leases that agents hold", figures.leases_active)
        yield CounterMetricFamily("lut_leases_expired", "Leases that were not renewed in time", figures.leases_expired)
        measurements = CounterMetricFamily("lut_measurements", "Stored measurements", labels=["device_kind"])
        for kind, count in figures.measurements.items():
            measurements.add_metric([kind], count)
        yield measurements
        tables = GaugeMetricFamily(
            "lut_table_age_seconds",
            "Age of the newest table of a device, space and runtime",
            labels=["device", "space", "mode", "precision", "batch_size", "threads"],
        )
        for table in figures.tables:
            tables.add_metric(list(table.labels), table.age_s)
        yield tables
