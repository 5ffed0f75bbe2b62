"""An authorization server on Node.js instead of `latchpin as serve`: reads as.toml as that does, then becomes node with it in
JSON.

Not a server itself. argv: PROGRAM.mjs, its options in JSON, --config FILE.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

from host_sim.authorization_server import settings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("options", type=json.loads)
    parser.add_argument("--config", type=Path, required=True)
    args = parser.parse_args()
    configured = settings.load(args.config)
    words = configured.model_dump(mode="json", include={"issuer", "certificate", "private_key", "resources"})
    clients = [
        {"id": entry.id, "name": entry.name, "secret": entry.secret_text(), "resource": entry.resource}
        for entry in configured.clients
    ]
    told = {**words, "host": configured.host, "port": configured.port, "clients": clients, "options": args.options}
    node = shutil.which("node")
    assert node, "Node.js is missing"
    os.execv(node, [node, str(args.program), json.dumps(told)])


if __name__ == "__main__":
    main()
