"""Opens one TLS connection and tells what became of it. Not a test: test_tls.py runs it on both Pythons."""

import asyncio
import json
import sys

from latchpin.adapters import tls_stream
from latchpin.adapters.stream import LinkError, close_stream


async def main(how):
    try:
        context = tls_stream.tls_context(how.get("pin"), how.get("ca"))
    except ValueError:
        return {"refused": "context"}
    try:
        host = how.get("host", "localhost")
        name = how.get("server_name", host)
        reader, writer = await tls_stream.open_tls(
            host, how["port"], name, context, how["first"].encode(), how.get("timeout_s", 5)
        )
    except LinkError as error:
        return {"code": error.code, "text": error.text}
    echoed = b""
    size = how.get("size", 0)
    if size:
        # Several writers' worth in one, read back in the pieces that come.
        big = bytes(range(256)) * (size // 256)
        writer.write(big)
        await writer.drain()
        echoed = await reader.readexactly(len(how["first"]) + len(big))
        echoed = echoed[len(how["first"]) :] == big
    await close_stream(writer)
    return {"code": None, "echoed": echoed is True}


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
