"""What adapters/wifi.py asks of a chip's `network` module, without a radio. For test_boards.py."""

STA_IF = 0


def hostname(name):
    assert name.startswith("lp-")


class WLAN:
    def __init__(self, interface):
        self.on = False
        self.ssid = None

    def active(self, on):
        self.on = on

    def scan(self):
        assert self.on
        return [(b"home", b"", 1, -50, 3, False)]

    def isconnected(self):
        return self.ssid is not None

    def disconnect(self):
        self.ssid = None

    def connect(self, ssid, password):
        self.ssid = ssid
        with open("joined.txt", "w") as file:
            file.write(ssid)
