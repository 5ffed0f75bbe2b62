"""The life of a service over HTTPS, on uvicorn: it listens, says that it is ready, and ends within two seconds of a signal.

Not for what it answers: that is the application's.
"""

import asyncio
import gc
import signal
import socket
import ssl
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from broker_bridge import life, logs
from broker_bridge.configuration import ConfigurationError, TlsService


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            logs.line("ready", address=self._url)
            life.ready(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A client that keeps its connection and does not answer the goodbye of TLS would hold us for the whole grace time.
        asyncio.get_running_loop().call_later(0.3, self._cut)
        await super().shutdown(sockets)

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def serve(app: ASGIApp, configured: TlsService, url: str, lifespan: Literal["on", "off"] = "off") -> None:
    """Serves `app` until SIGTERM or Ctrl-C, having said `ready URL`. Raises ConfigurationError: it cannot start."""
    config = uvicorn.Config(
        app,
        ssl_certfile=configured.certificate,
        ssl_keyfile=configured.private_key,
        ssl_ciphers="ECDHE+AESGCM:ECDHE+CHACHA20",
        timeout_keep_alive=75,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan=lifespan,
        timeout_graceful_shutdown=1,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError):
        raise ConfigurationError("certificate and private_key must be a pair, both in PEM") from None
    # uvicorn raises the signal again when it has shut down: it shall find somebody who is content with that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    family = socket.AF_INET6 if ":" in configured.host else socket.AF_INET
    try:
        listener = socket.create_server((configured.host, configured.port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(f"listen: {error.strerror}: is another server there? If so, choose another port") from None
    logs.start(configured.log_level)
    gc.freeze()  # what a start makes stays: no use in looking through it again and again
    with listener:
        _Server(config, url).run(sockets=[listener])
