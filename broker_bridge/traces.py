"""OpenTelemetry traces, where the operator named an endpoint: a span for each request, and beneath it one for each HTTPS call.

Not for contents: a span has the members of a log line, of the same closed lists. Without an endpoint nothing is imported.
"""

import threading
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from broker_bridge.configuration import ConfigurationError
from broker_bridge.refusals import Refused
from broker_bridge.settings import Operations
from latchpin import __version__

EXPORT_S = 2

_T = TypeVar("_T")


class Tracer(Protocol):
    """What app.py tells."""

    def request(self, step: str, request_id: str, device: str, walk: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        """`walk` with a span around it: that of a request."""
        ...

    def upstream(self, name: str, call: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        """`call` with a span around it: that of an HTTPS call, beneath the one of its request."""
        ...

    def answered(self, outcome: str, code: str | None) -> None:
        """What the device is told, in the span of its request."""
        ...

    def close(self) -> None:
        """Sends what is left; takes at most a few seconds."""
        ...


class Silence:
    """No endpoint, no spans."""

    def request(self, step: str, request_id: str, device: str, walk: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        return walk

    def upstream(self, name: str, call: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        return call

    def answered(self, outcome: str, code: str | None) -> None:
        return None

    def close(self) -> None:
        return None


class OpenTelemetry:
    """Spans in batches to an OTLP endpoint (HTTP, protobuf), from a thread of their own; a collector that is away costs spans."""

    def __init__(self, configured: Operations, replica: str) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from requests.sessions import Session
        except ImportError:
            text = "operations.traces_endpoint: needs packages of its own: pip install 'latchpin[otel]'"
            raise ConfigurationError(text) from None
        assert configured.traces_endpoint
        session = Session()
        session.trust_env = False  # no proxy from the environment
        exporter = OTLPSpanExporter(
            configured.traces_endpoint,
            certificate_file=str(configured.traces_ca) if configured.traces_ca else None,
            timeout=EXPORT_S,
            session=session,
        )
        resource = Resource({"service.name": "latchpin-bridge", "service.version": __version__, "service.instance.id": replica})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("latchpin", __version__)
        self._trace = trace

    async def request(self, step: str, request_id: str, device: str, walk: Coroutine[Any, Any, _T]) -> _T:
        with self._span(step, self._trace.SpanKind.SERVER, {"latchpin.request_id": request_id, "latchpin.device": device}):
            return await walk

    async def upstream(self, name: str, call: Coroutine[Any, Any, _T]) -> _T:
        with self._span(name, self._trace.SpanKind.CLIENT, {}) as span:
            try:
                return await call
            except Refused as refusal:
                span.set_attribute("latchpin.code", refusal.why)
                span.set_status(self._trace.StatusCode.ERROR)
                raise

    def answered(self, outcome: str, code: str | None) -> None:
        span = self._trace.get_current_span()
        span.set_attributes({"latchpin.outcome": outcome, **({"latchpin.code": code} if code else {})})
        if outcome in ("internal", "try_later"):
            span.set_status(self._trace.StatusCode.ERROR)

    def close(self) -> None:
        # Where the collector is away, the exporter goes on trying for more than a minute.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(EXPORT_S + 1)

    def _span(self, name: str, kind: Any, attributes: dict[str, str]) -> Any:
        # An exception's text and place stay here.
        return self._tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        )


def tracer(configured: Operations, replica: str) -> Tracer:
    """Raises ConfigurationError: an endpoint is named, and the packages for it are not there."""
    return OpenTelemetry(configured, replica) if configured.traces_endpoint else Silence()
