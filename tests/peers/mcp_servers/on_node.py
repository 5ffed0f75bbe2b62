"""A server on Node.js instead of `latchpin mcp`: reads mcp.toml as that does, then becomes node with it as JSON.

Not a server itself. argv: PROGRAM.mjs, its options in JSON, --config FILE.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

from host_sim import mcp_server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("options", type=json.loads)
    parser.add_argument("--config", type=Path, required=True)
    args = parser.parse_args()
    configured = mcp_server.load(args.config)
    words = configured.model_dump(mode="json", include={"resource", "issuer", "scopes", "certificate", "private_key"})
    told = json.dumps({**words, "host": configured.host, "port": configured.port, "options": args.options})
    node = shutil.which("node")
    assert node, "Node.js is missing"
    os.execve(node, [node, str(args.program), told], {**os.environ, "NODE_EXTRA_CA_CERTS": str(configured.ca)})


if __name__ == "__main__":
    main()
