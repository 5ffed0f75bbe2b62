"""Numbers for those who keep the AS running: /metrics, for a bearer of the metrics token.

Not for people or devices by name: every label is of a closed list, and who did what is in the log.
"""

import hmac
import threading
from collections.abc import Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from broker_bridge.operations import BUCKETS_S
from host_sim.authorization_server.responses import answer
from latchpin import __version__

# Read from the storage at each scrape: its name there, and what it is.
FIGURES = {
    "waiting_sessions": "Sessions that wait for a person.",
    "devices": "Devices that ever asked.",
    "locked_devices": "Devices that are locked after wrong answers.",
    "live_families": "Grants that can still be used.",
    "accounts": "Accounts of people.",
    "signed_in": "Browsers in which somebody is signed in.",
}


class Metrics:
    """What was asked, what came of it, how long it took; and how many there are of everything, read at each scrape."""

    def __init__(self) -> None:
        disable_created_metrics()
        self._registry = registry = CollectorRegistry()
        self._scraping = threading.Lock()
        self._requests = Counter("latchpin_as_requests", "Requests, by endpoint.", ["endpoint", "status"], registry=registry)
        self._took = Histogram(
            "latchpin_as_request_duration_seconds",
            "From a request read to its answer begun.",
            ["endpoint"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._outcomes = Counter(
            "latchpin_as_outcomes",
            "What came of challenges, token requests, sign-ins.",
            ["what", "outcome"],
            registry=registry,
        )
        self._figures = {name: Gauge(f"latchpin_as_{name}", FIGURES[name], registry=registry) for name in FIGURES}
        build = Gauge("latchpin_as_build_info", "The version that runs.", ["version"], registry=registry)
        build.labels(__version__).set(1)

        self._requests_of = cache(self._requests.labels)  # every label is of a closed list
        self._took_of = cache(self._took.labels)
        self._outcomes_of = cache(self._outcomes.labels)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        self._requests_of(endpoint, status).inc()
        self._took_of(endpoint).observe(seconds)

    def outcome(self, what: str, outcome: str | None) -> None:
        """`what` is challenge, token or sign_in; `outcome` a word of its closed list, or an error code."""
        self._outcomes_of(what, outcome or "unknown").inc()

    def text(self, figures: Mapping[str, int]) -> str:
        """The exposition format of Prometheus."""
        with self._scraping:
            for name, number in figures.items():
                self._figures[name].set(number)
            return generate_latest(self._registry).decode()


def endpoint(request: Request) -> Response:
    """GET /metrics."""
    services = request.app.state.services
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), services.keys.metrics_token.encode()):
        refused = answer(401, {"error": "invalid_token", "error_description": "Send the metrics token of the state directory."})
        refused.headers["WWW-Authenticate"] = 'Bearer realm="latchpin metrics"'
        return refused
    with services.storage.transaction() as transaction:
        figures = transaction.figures(services.now_s())
    return Response(services.metrics.text(figures), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})
