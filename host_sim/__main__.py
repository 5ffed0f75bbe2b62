"""The command line `latchpin`: a table of subcommands, each owned by the module that does the work.

Not for work: a subcommand's options and help stand in its module's `add_arguments`.
"""

import argparse
import importlib
import sys

# name: (module, one line of help)
COMMANDS = {
    "demo": ("host_sim.demo", "run the whole path once on this PC: device, broker, bridge, AS and MCP server"),
    "bridge": ("broker_bridge.command", "the bridge that stands beside an authorization server"),
    "as": ("host_sim.authorization_server.command", "the reference authorization server"),
    "device": ("broker_bridge.device_command", "which devices may speak: enrol, list, revoke, import, export"),
    "doctor": ("host_sim.doctor", "go a device's way to its broker, bridge and AS step by step and name the step that fails"),
    "flash": ("boards.flash", "put Latchpin on a board"),
    "broker": ("host_sim.broker", "the demo broker (loopback only; production is mosquitto, EMQX or VerneMQ)"),
    "mcp": ("host_sim.mcp_server", "the demo MCP server behind tokens of the AS"),
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:8} {text}" for name, (_, text) in COMMANDS.items())
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(f"usage: latchpin COMMAND [options]\n\nPIN in, token out.\n\n{listing}\n\n`latchpin COMMAND --help` says more.")
        return 0
    if argv[0] == "--version":
        from latchpin import __version__

        print(__version__)
        return 0
    if argv[0] not in COMMANDS:
        print(f"latchpin: no such command. Commands:\n{listing}", file=sys.stderr)
        return 2
    name, text = argv[0], COMMANDS[argv[0]][1]
    module = importlib.import_module(COMMANDS[name][0])
    parser = argparse.ArgumentParser(prog=f"latchpin {name}", description=text)
    module.add_arguments(parser)
    return module.run(parser.parse_args(argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
