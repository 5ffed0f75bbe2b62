"""The command `latchpin bridge`: serve, make the bridge's key, check what it stands between, print a broker's ACL.

Not for the work itself: app.py serves, check.py checks.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from broker_bridge import acl, bridge_key, check, life, logs, mosquitto, settings
from broker_bridge.app import App
from broker_bridge.configuration import ConfigurationError
from broker_bridge.registry import Registry, RegistryError

T = TypeVar("T")

BROKERS = {
    "mosquitto": lambda bridges: mosquitto.acl_head() + mosquitto.acl_lines(bridges),
    "emqx": acl.emqx,
    "nanomq": acl.nanomq,
    "hivemq": acl.hivemq,
    "vernemq": acl.vernemq,
}

EPILOG = """\
latchpin bridge --config bridge.toml        serve, with "ready REPLICA" once devices can reach it; SIGTERM hands them over
latchpin bridge key --out bridge.key        make the bridge's key; prints KID PUBLICHEX, which devices pin
latchpin bridge check --config bridge.toml  talk to broker, authorization server and resources; say what to mend
latchpin bridge acl --broker mosquitto      print your broker's ACL file; its head says which options go with it

mosquitto's password file has a line for each bridge, which mosquitto_passwd writes, and one for each enrolled device. After each
change of the registry write the devices' lines again, and send mosquitto SIGHUP:

  mosquitto_passwd -c passwords bridge
  latchpin bridge acl --registry devices.toml --passwords passwords > acl

Every setting can come from the environment too: LATCHPIN_BRIDGE__BROKER__URL stands for url in [broker].
A secret stands best in a file of its own: password_file, client_secret_file.
broker_bridge/README.md explains each setting.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "action", nargs="?", choices=("serve", "key", "check", "acl"), default="serve", help="what to do (default: serve)"
    )
    parser.add_argument("--config", type=Path, default=Path("bridge.toml"), help="the TOML file (default: bridge.toml)")
    parser.add_argument("--out", type=Path, help="with key: the file to make")
    parser.add_argument("--kid", type=int, default=1, help="with key: which of the bridge's keys this is, 0 to 255 (default: 1)")

    parser.add_argument("--json", action="store_true", help="with check: one JSON object in place of lines")
    parser.add_argument("--broker", choices=BROKERS, default="mosquitto", help="with acl: whose syntax (default: mosquitto)")
    parser.add_argument(
        "--bridge", action="append", metavar="NAME", help='with acl: MQTT username of a bridge, once for each (default: "bridge")'
    )
    parser.add_argument(
        "--registry", type=Path, metavar="FILE", help="with acl: the devices; refuses a bridge with the name of one"
    )
    parser.add_argument(
        "--passwords",
        type=Path,
        metavar="FILE",
        help="with acl and --registry: mosquitto's password file, whose devices are written",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "key":
        return _key(arguments.out, arguments.kid)
    if arguments.action == "acl":
        return _acl(arguments)
    try:
        configured = settings.load(arguments.config)
        logs.start(configured.log_level)
        return _run_loop(check.run(configured, arguments.json)) if arguments.action == "check" else _serve(configured)
    except (ConfigurationError, RegistryError) as failure:
        print(f"latchpin bridge: {failure}", file=sys.stderr)
        return 2


def _serve(configured: settings.Settings) -> int:
    app = App(configured, life.ready)
    life.collect_seldom()
    try:
        _run_loop(app.run())
    except KeyboardInterrupt:
        pass
    except OSError as failure:
        logs.line("defect", logging.ERROR, failure)
        print("latchpin bridge: operations.listen: the address is taken or not ours; choose another port", file=sys.stderr)
        return 1
    return 0


def _key(out: Path | None, kid: int) -> int:
    if out is None or not 0 <= kid <= 255:
        print("latchpin bridge key: needs --out FILE, and a --kid of 0 to 255", file=sys.stderr)
        return 2
    try:
        key = bridge_key.make(out)
    except FileExistsError:
        print("latchpin bridge key: the file is there already; a key is never overwritten, choose another name", file=sys.stderr)
        return 1
    except OSError:
        print("latchpin bridge key: the file cannot be written; choose a folder that is there and yours", file=sys.stderr)
        return 1
    print(f"{kid} {key.public.hex()}")
    return 0


def _acl(arguments: argparse.Namespace) -> int:
    bridges = arguments.bridge or ["bridge"]
    try:
        text = BROKERS[arguments.broker](bridges)
        if arguments.passwords is not None and (arguments.registry is None or arguments.broker != "mosquitto"):
            raise ValueError("--passwords is mosquitto's file and wants --registry FILE beside it")
        if arguments.registry is not None:
            if not arguments.registry.is_file():
                raise ValueError("--registry: no such file; `latchpin device enrol` makes it")
            registry = Registry(arguments.registry)
            mosquitto.password_lines(registry, dict.fromkeys(bridges, ""))
            if arguments.passwords is not None:
                for name in mosquitto.rewrite_passwords(arguments.passwords, registry, bridges):
                    print(f"latchpin bridge acl: next: mosquitto_passwd {arguments.passwords} {name}", file=sys.stderr)
    except ValueError as failure:
        print(f"latchpin bridge acl: {failure}", file=sys.stderr)
        return 2
    except OSError:
        print(
            "latchpin bridge acl: --passwords: cannot be read and written; choose a folder that is there and yours",
            file=sys.stderr,
        )
        return 1
    print(text, end="")
    return 0


def _run_loop(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=life.loop_factory()) as runner:
        return runner.run(main)
