"""What a worker counts, as Prometheus metrics: base units, labelled by model, never by ids."""

from __future__ import annotations

from platform import python_version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from ancestral import __version__

FAST = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)
BATCH = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)


class WorkerMetrics:
    """One worker's metrics in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"ancestral_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"ancestral_{name}", text, ("model",), registry=registry)

        def seconds(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(
                f"ancestral_{name}_seconds", text, ("model",), registry=registry, buckets=buckets
            )

        self.steps = counter("worker_steps", "Turns of the worker's loop, idle ones included")
        self.sites = counter("sites_generated", "Sites drawn", "model")
        self.dimensions = counter("dimensions_scored", "Dimensions scored", "model")
        self.finished = counter("request_success", "Jobs ended", "model", "finish_reason")
        self.running = gauge("requests_running", "Sampling jobs that hold slots")
        self.held = gauge("requests_held", "Jobs taken from the queue that wait for a slot")
        self.slots_in_use = gauge("slots_in_use", "Places taken in the running batch")
        self.slots_total = gauge("slots_total", "Places in the running batch")
        self.cache_bytes = gauge("cache_bytes", "Memory of the open slots' caches")
        self.batch_size = Histogram(
            "ancestral_iteration_batch_size",
            "Sequences stepped, or items scored, together",
            ("model", "lane"),
            registry=registry,
            buckets=BATCH,
        )
        self.first_output = seconds("time_to_first_output", "Submission to first output", SLOW)
        self.inter_output = seconds("inter_output", "Between outputs of one job", FAST)
        self.queued = seconds("request_queue", "Submission to start", SLOW)
        self.prefill = seconds("request_prefill", "Opening a slot with its prefix", FAST)
        self.sample = seconds("request_sample", "Start to end of a sampling job", SLOW)
        self.score = seconds("request_score", "Start to end of a scoring job", FAST)
        self.whole = seconds("request_e2e", "Submission to end", SLOW)
        self.load = seconds("model_load", "Reading, checking and compiling a package", SLOW)
        build = Info("ancestral_build", "What runs", registry=registry)
        build.info({"version": __version__, "python": python_version()})

    def output(self, label: str, sites: int, gap: float | None, waited: float) -> None:
        """A job told of so many sites more, `gap` seconds after it last did, if it did."""
        self.sites.labels(label).inc(sites)
        if gap is None:
            self.first_output.labels(label).observe(max(0.0, waited))
        elif gap > 0:
            self.inter_output.labels(label).observe(gap)

    def batch(
        self, label: str, *, running: int, held: int, slots: tuple[int, int], cache: int
    ) -> None:
        """How a running batch stands: jobs, slots in use and in all, bytes."""
        self.running.labels(label).set(running)
        self.held.labels(label).set(held)
        self.slots_in_use.labels(label).set(slots[0])
        self.slots_total.labels(label).set(slots[1])
        self.cache_bytes.labels(label).set(cache)

    def ended(self, label: str, event: str, seconds: float) -> None:
        """A job ended so long after it was submitted."""
        self.finished.labels(label, event).inc()
        self.whole.labels(label).observe(max(0.0, seconds))
