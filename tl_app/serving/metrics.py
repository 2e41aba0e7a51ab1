"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Of one server; names of models are labels only where such a model is served."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tl_app_requests",
            "Requests that were answered.",
            ("model", "method", "code"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "tl_app_request_seconds",
            "From the last byte of a request to its answer.",
            ("model", "method"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.rows = Counter(
            "tl_app_rows",
            "Pictures or texts that were asked about.",
            ("model",),
            registry=self.registry,
        )
        self.unusable = Counter(
            "tl_app_unusable_rows",
            "Pictures that could not be decoded.",
            ("model",),
            registry=self.registry,
        )
        self.waiting = Gauge(
            "tl_app_waiting_rows", "Pictures or texts in the queue.", registry=self.registry
        )
        self.version = Gauge(
            "tl_app_model_version",
            "Number of the newest version that is served.",
            ("model",),
            registry=self.registry,
        )

        self.broken = Gauge(
            "tl_app_broken_versions",
            "Versions that are there and cannot be loaded.",
            ("model",),
            registry=self.registry,
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)
