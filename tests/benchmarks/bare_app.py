"""A Starlette application that reads a form and answers a kilobyte of JSON, served as the AS is: what everything else costs more.

Not an authorization server: it checks and keeps nothing. argv: as.toml, for address and certificate.
"""

import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from host_sim import https_service
from host_sim.authorization_server.settings import load


async def answer(request: Request) -> JSONResponse:
    body = await request.body()
    return JSONResponse({"bytes": len(body), "padding": "." * 1000})


if __name__ == "__main__":
    settings = load(Path(sys.argv[1]), {})
    paths = ("/challenge", "/token")
    https_service.serve(Starlette(routes=[Route(path, answer, methods=["POST"]) for path in paths]), settings, settings.issuer)
