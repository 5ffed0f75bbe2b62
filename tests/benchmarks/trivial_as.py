"""An HTTPS server that answers every challenge with the same prompt: what is left is the bridge's own cost.

Not an authorization server: it checks nothing. argv: port, certificate, key. Metadata as the bridge wants them.
"""

import json
import sys
from typing import Any

import uvicorn

PORT = int(sys.argv[1])
ORIGIN = f"https://localhost:{PORT}"
METADATA = {
    "issuer": ORIGIN,
    "authorization_endpoint": f"{ORIGIN}/authorize",
    "token_endpoint": f"{ORIGIN}/token",
    "authorization_challenge_endpoint": f"{ORIGIN}/challenge",
    "response_types_supported": ["code"],
    "code_challenge_methods_supported": ["S256"],
    "dpop_signing_alg_values_supported": ["ES256"],
}
RESOURCE = {"resource": f"{ORIGIN}/mcp", "authorization_servers": [ORIGIN]}
PROMPT = {
    "error": "insufficient_authorization",
    "auth_session": "s" * 43,
    "inputs": [{"name": "pin", "kind": "digits", "min": 9, "max": 9, "check": "damm", "label": "PIN"}],
    "message": "Ask for a PIN for this device",
    "reason": "none",
    "tries_left": 5,
    "inputs_expire_in": 600,
    "binding_word": "amber fox",
}
ANSWERS = {
    "/.well-known/oauth-authorization-server": (200, json.dumps(METADATA).encode()),
    "/.well-known/oauth-protected-resource/mcp": (200, json.dumps(RESOURCE).encode()),
    "/challenge": (403, json.dumps(PROMPT).encode()),
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    status, body = ANSWERS.get(scope["path"], (404, b"{}"))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print("ready", ORIGIN, flush=True)


if __name__ == "__main__":
    certificate, key = sys.argv[2:]
    Server(
        uvicorn.Config(
            app, port=PORT, ssl_certfile=certificate, ssl_keyfile=key, log_level="warning", access_log=False, lifespan="off"
        )
    ).run()
