"""What Prometheus reads: the state of now, taken when it is asked for. Nothing is counted twice for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from engine.api.gate import RequestCounts
from engine.protocol.machine import QueueStats, ResourcesView

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """All that one scrape tells."""

    version: str
    started_at: float
    stats: QueueStats
    resources: ResourcesView
    requests: RequestCounts
    newest_event: int

    def collect(self) -> Iterator[Any]:
        """The metric families, as prometheus-client asks for them."""
        yield GaugeMetricFamily("shopfloor_start_time_seconds", "When this engine started.", value=self.started_at)
        info = GaugeMetricFamily("shopfloor_info", "The engine's version.", labels=["version"])
        info.add_metric([self.version], 1)
        yield info
        yield from self._queue()
        yield from self._machine()
        yield from self._http()

    def _queue(self) -> Iterator[Any]:
        tasks = GaugeMetricFamily("shopfloor_tasks", "Tasks in the store, by state.", labels=["state"])
        for state, count in sorted(self.stats.by_state.items()):
            tasks.add_metric([state], count)
        yield tasks
        yield GaugeMetricFamily("shopfloor_queue_paused", "1 while the queue is paused.", value=int(self.stats.paused))
        yield CounterMetricFamily("shopfloor_events", "Events of this store, ever.", value=self.newest_event)

    def _machine(self) -> Iterator[Any]:
        machine = self.resources
        total = GaugeMetricFamily("shopfloor_capacity", "What tasks may take.", labels=["resource"])
        used = GaugeMetricFamily("shopfloor_capacity_used", "What live tasks have taken.", labels=["resource"])
        total.add_metric(["cpu"], machine.cpu_total)
        used.add_metric(["cpu"], machine.cpu_used)
        total.add_metric(["memory_gb"], machine.memory_gb_total)
        used.add_metric(["memory_gb"], machine.memory_gb_used)
        total.add_metric(["gpu"], len(machine.gpus))
        used.add_metric(["gpu"], sum(gpu.task_id is not None for gpu in machine.gpus))
        yield total
        yield used
        yield GaugeMetricFamily("shopfloor_disk_free_bytes", "Free space of the home.", value=machine.disk_free_bytes)

    def _http(self) -> Iterator[Any]:
        labels = ["method", "route", "status"]
        requests = SummaryMetricFamily("shopfloor_http_request_seconds", "HTTP requests and their time.", labels=labels)
        for (method, route, status), count in sorted(self.requests.answered.items()):
            seconds = self.requests.seconds[method, route, status]
            requests.add_metric([method, route, str(status)], count_value=count, sum_value=seconds)
        yield requests
        yield GaugeMetricFamily("shopfloor_websockets", "Open WebSocket connections.", value=self.requests.sockets)


def exposition(reading: Reading) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(reading)
    return generate_latest(registry)
