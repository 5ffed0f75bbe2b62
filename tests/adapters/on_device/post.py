"""One HTTPS POST, and what came of it. Not a test: test_https_post.py runs it on both Pythons."""

import asyncio
import json
import sys

from latchpin.adapters import https_post
from latchpin.adapters.stream import LinkError


async def main(how):
    more = {name: how[name] for name in ("max_body", "timeout_s") if name in how}
    try:
        status, headers, body = await https_post.post(how["url"], how["headers"], how["body"].encode(), how["proof"], **more)
    except LinkError as error:
        return {"code": error.code, "text": str(error)}
    return {"status": status, "headers": headers, "body": body.decode()}


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
