"""One HTTPS POST, and what came of it. Not a test: test_https_post.py runs it on both Pythons."""

import asyncio
import json
import sys

from latchpin.adapters import https_post
from latchpin.adapters.stream import LinkError


async def main(how):
    more = {"timeout_s": how["timeout_s"]} if "timeout_s" in how else {}
    pieces = []

    async def hear(status, headers, piece, last):
        assert len(piece) <= 1_024 and not (pieces and pieces[-1][3])
        pieces.append((status, headers, piece, last))

    try:
        await https_post.post(how["url"], how["headers"], how["body"].encode(), how["proof"], hear, **more)
    except LinkError as error:
        return {"code": error.code, "text": str(error)}
    status, headers = pieces[0][:2]
    assert pieces[-1][3] and not [piece for piece in pieces if piece[:2] != (status, headers)]
    return {"status": status, "headers": headers, "body": b"".join([piece[2] for piece in pieces]).decode()}


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
