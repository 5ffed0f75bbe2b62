"""A TLS server of which each test writes the behaviour, and which keeps every application byte that it saw.

Not a broker: what it says is what the test says.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

Behaviour = Callable[[ssl.SSLSocket, "TlsServer"], None]


class TlsServer:
    """Listens on `.port`. behaviour(connection, server) runs per connection in a thread; `.seen` is all that was decrypted,
    `.raw` all that came before or instead of TLS."""

    def __init__(self, behaviour: Behaviour | None = None, context: ssl.SSLContext | None = None, raw: Callable | None = None):
        self._behaviour = behaviour or (lambda connection, server: server.read(connection))
        self._context = context
        self._raw = raw
        self.seen = b""
        self.raw = b""
        self.handshakes = 0
        self.failures: list[BaseException] = []
        self.done = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(20)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._raw is not None:
                self._raw(connection, self)
                return
            assert self._context is not None
            with self._context.wrap_socket(connection, server_side=True) as secure:
                self._open.append(secure)
                self.handshakes += 1
                self._behaviour(secure, self)
        except BaseException as error:
            self.failures.append(error)
        finally:
            self.done.set()

    def read(self, connection: ssl.SSLSocket, most: int = 65_536) -> bytes:
        data = connection.recv(most)
        self.seen += data
        return data

    def read_exactly(self, connection: ssl.SSLSocket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.read(connection, count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def read_packet(self, connection: ssl.SSLSocket) -> bytes:
        """One whole MQTT packet."""
        packet = self.read_exactly(connection, 2)
        length, shift = packet[1] & 127, 7
        while packet[-1] & 128:
            packet += self.read_exactly(connection, 1)
            length |= (packet[-1] & 127) << shift
            shift += 7
        return packet + self.read_exactly(connection, length)

    def stop(self) -> None:
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.close()
