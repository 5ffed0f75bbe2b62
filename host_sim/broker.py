"""`latchpin broker`: the demo broker, over TLS, on loopback only.

Not for production (there stand mosquitto, EMQX or VerneMQ), and not the protocol (mqtt_broker.py).
"""

import argparse
import asyncio
import contextlib
import os
import ssl
import sys
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from broker_bridge import configuration, life, logs
from broker_bridge.configuration import WORDS, ConfigurationError, Listen, PathOf, SecretFile, Section, TlsService, is_loopback
from broker_bridge.life import loop_factory
from broker_bridge.registry import Registry, RegistryError
from host_sim.mqtt_broker import CONNECT_WITHIN_S, Broker, Client


def _for_this_pc(listen: str) -> str:
    if not is_loopback(listen):
        raise ValueError(
            'must be loopback, such as "127.0.0.1:8883": this is a demo broker. For other machines run mosquitto, EMQX or'
            " VerneMQ; `latchpin bridge acl` prints mosquitto's files"
        )
    return listen


Username = Annotated[str, Field(pattern="^[a-z0-9-]{1,23}$")]


class Bridges(Section):
    """[bridge]: who may be a bridge, and the password of them all."""

    username: Username | None = None
    usernames: Annotated[list[Username], WORDS, Field(min_length=1)] | None = None
    password_file: SecretFile

    @model_validator(mode="after")
    def _named_once(self) -> "Bridges":
        if (self.username is None) == (self.usernames is None):
            raise ValueError("needs either username or usernames")
        return self


class Configuration(TlsService):
    """broker.toml, checked; paths count from its folder."""

    listen: Annotated[Listen, AfterValidator(_for_this_pc)]
    registry: PathOf
    bridge: Bridges
    tap: PathOf | None = None

    @property
    def bridges(self) -> dict[str, bytes]:
        """Password by username."""
        password = self.bridge.password_file.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
        return dict.fromkeys(self.bridge.usernames or [self.bridge.username or ""], password)


EXAMPLE = """broker.toml:

  listen = "127.0.0.1:8883"            # loopback only; port 0 takes a free one
  certificate = "broker.pem"           # PEM, leaf first
  private_key = "broker.key"
  registry = "devices.toml"            # `latchpin device enrol` writes it; read again when it changes
  # tap = "tap.bin"                    # records every PUBLISH, to prove that nothing can be read

  [bridge]
  username = "bridge"                  # or usernames = ["bridge", "bridge-2"], one for each replica
  password_file = "bridge.password"

Each key can come from the environment: LATCHPIN_BROKER__LISTEN, LATCHPIN_BROKER__BRIDGE__PASSWORD_FILE.
A client id must equal the username. When it listens it prints: ready mqtts://127.0.0.1:PORT
Production: mosquitto (`latchpin bridge acl` prints its files), EMQX or VerneMQ.
"""


def load(path: Path) -> Configuration:
    """The configuration in a TOML file, with LATCHPIN_BROKER__KEY on top. Raises ConfigurationError."""
    return configuration.load(Configuration, path, "LATCHPIN_BROKER", os.environ, "`latchpin broker --help` shows a whole one")


async def serve(configured: Configuration, until: asyncio.Event, kind: type[Broker] = Broker) -> None:
    """Listens, prints the ready line, and serves until the event is set. Raises ConfigurationError before it listens."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(configured.certificate, configured.private_key)
        registry = Registry(configured.registry)
    except (OSError, ssl.SSLError):
        raise ConfigurationError("certificate and private_key are not a pair in PEM: make them again") from None
    except RegistryError as error:
        raise ConfigurationError(str(error)) from None
    broker = kind(registry, configured.bridges, configured.tap)
    try:
        server = await broker.loop.create_server(
            lambda: Client(broker),
            configured.host,
            configured.port,
            ssl=context,
            backlog=1024,
            ssl_handshake_timeout=CONNECT_WITHIN_S,
        )
    except OSError as error:
        raise ConfigurationError(f"cannot listen: {error.strerror}; choose another port, or 0 for a free one") from None
    port = server.sockets[0].getsockname()[1]
    logs.line("listens", note="demo broker: loopback only, for this PC; production is mosquitto, EMQX or VerneMQ")
    host = f"[{configured.host}]" if ":" in configured.host else configured.host
    life.ready(f"mqtts://{host}:{port}")
    await until.wait()
    server.close()
    await broker.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin broker`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="broker.toml")


def run(args: argparse.Namespace, kind: type[Broker] = Broker) -> int:
    """Serves until SIGTERM or Ctrl-C; 0 then, 2 with one line on stderr if it cannot start."""
    raise_file_limit()

    async def main() -> None:
        (stop, _), configured = life.told_to_stop(), load(args.config)
        logs.start(configured.log_level)
        await serve(configured, stop, kind)

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(main())
    except ConfigurationError as error:
        print(f"latchpin broker: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def raise_file_limit() -> None:
    """As many open files as the system lets this process have: each client is one."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
