"""A real mosquitto with TLS, passwords and a per-device ACL, on a free port.

Not the project's broker configuration: that is shipped elsewhere, this one is for the adapter's tests.
"""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.adapters.certificates import Certificates

USERS = {"lp-device-1": "password-1", "lp-device-2": "password-2", "bridge": "password-b"}


class Mosquitto:
    """`.port` speaks MQTT over TLS; `.log()` is what mosquitto wrote."""

    def __init__(self, directory: Path, certificates: Certificates, extra: str = ""):
        binary = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin")
        if binary is None or shutil.which("mosquitto_passwd") is None:
            pytest.skip("no mosquitto here: apt-get install mosquitto")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        directory.mkdir(exist_ok=True)
        passwords = directory / "passwords"
        passwords.write_text("".join(f"{user}:{password}\n" for user, password in USERS.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        acl = directory / "acl"
        acl.write_text(
            "user bridge\ntopic readwrite latchpin/1/#\n\n"
            "pattern write latchpin/1/%u/hello\npattern write latchpin/1/%u/up/+\n"
            "pattern write latchpin/1/%u/state\npattern read latchpin/1/%u/down\n"
        )
        for path in (passwords, acl):
            path.chmod(0o600)
        configuration = directory / "mosquitto.conf"
        configuration.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\nuse_username_as_clientid true\n"
            f"certfile {certificates.good.certificate}\nkeyfile {certificates.good.key}\n"
            f"password_file {passwords}\nacl_file {acl}\nset_tcp_nodelay true\nlog_type all\nuser root\n{extra}\n"
        )
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([binary, "-c", str(configuration)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self.log())

    def log(self) -> str:
        return self._log.read_text()

    def pause(self) -> None:
        """Half-open: the kernel still takes bytes, nobody answers."""
        self._process.send_signal(19)

    def stop(self) -> None:
        self._process.send_signal(18)
        self._process.terminate()
        self._process.wait(30)
