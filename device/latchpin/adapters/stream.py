"""What is left of opening a TLS connection when it stands: how it fails, and how it is closed.

Not for opening it: that is tls_stream.py, which leaves the heap afterwards.
"""

from latchpin import runtime


class LinkError(OSError):
    """There is no connection, or it is no more.

    code: "dns", "tcp", "tls", "refused", "timeout", "closed" or "protocol", and no other; text: for a log, quotes nothing
    that came over the network; reason: the MQTT 5 reason code where the broker gave one, else None.
    """

    def __init__(self, code: str, text: str, reason: int | None = None):
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.reason = reason

    def __str__(self):
        return self.code + ": " + self.text + ("" if self.reason is None else " (0x%02x)" % self.reason)


if runtime.host_engine:
    close_stream = runtime.host_engine.close_stream
else:

    def pin_check(wanted: list[bytes]):
        """A verify_callback that lets only those leaf certificates pass (SHA-256). It stands here because a context keeps it,
        and with it whatever stands in the same file."""

        def verify(certificate, depth):
            # Only a negative number ends the handshake: a positive one counts as bytes written (extmod/modtls_mbedtls.c).
            return 0 if depth or runtime.sha256(certificate) in wanted else -0x3000

        return verify

    async def close_stream(writer) -> None:
        """Close what tls_stream.py opened, whatever state it is in."""
        try:
            await writer.wait_closed()  # closes, and does not wait
        except OSError:
            pass
