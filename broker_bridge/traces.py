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
    """What answering.py tells."""

    def begun(self, step: str, request_id: str, device: str) -> object:
        """The span of a request, from now on."""
        ...

    def upstream(self, span: object, name: str, call: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        """`call` with a span around it: that of an HTTPS call, beneath the one of its request."""
        ...

    def answered(self, span: object, outcome: str, code: str | None) -> None:
        """What the device is told: with that its span ends. span: None where nothing had to be fetched."""
        ...

    def close(self) -> None:
        """Sends what is left; takes at most a few seconds."""
        ...


class Silence:
    """No endpoint, no spans."""

    def begun(self, step: str, request_id: str, device: str) -> object:
        return None

    def upstream(self, span: object, name: str, call: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        return call

    def answered(self, span: object, outcome: str, code: str | None) -> None:
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

    def begun(self, step: str, request_id: str, device: str) -> object:
        attributes = {"latchpin.request_id": request_id, "latchpin.device": device}
        return self._tracer.start_span(step, kind=self._trace.SpanKind.SERVER, attributes=attributes)

    async def upstream(self, span: Any, name: str, call: Coroutine[Any, Any, _T]) -> _T:
        context, kind = self._trace.set_span_in_context(span), self._trace.SpanKind.CLIENT
        # An exception's text and place stay here.
        with self._tracer.start_as_current_span(
            name, context, kind, record_exception=False, set_status_on_exception=False
        ) as called:
            try:
                return await call
            except Refused as refusal:
                called.set_attribute("latchpin.code", refusal.why)
                called.set_status(self._trace.StatusCode.ERROR)
                raise

    def answered(self, span: Any, outcome: str, code: str | None) -> None:
        if span is None:
            return
        span.set_attributes({"latchpin.outcome": outcome, **({"latchpin.code": code} if code else {})})
        if outcome in ("internal", "try_later"):
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        # Where the collector is away, the exporter goes on trying for more than a minute.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(EXPORT_S + 1)


def tracer(configured: Operations, replica: str) -> Tracer:
    """Raises ConfigurationError: an endpoint is named, and the packages for it are not there."""
    return OpenTelemetry(configured, replica) if configured.traces_endpoint else Silence()
