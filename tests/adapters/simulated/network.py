"""What adapters/wifi.py asks of a chip's `network` module, without a radio. For test_boards.py, test_wifi.py, test_improv.py."""

STA_IF = 0

# ssid: password, dBm
AIR = {"home": ("secret words", -50), "café": ("", -70)}


def hostname(name):
    assert name.startswith("lp-")


class WLAN:
    def __init__(self, interface):
        self.on = False
        self.ssid = None

    def active(self, on=None):
        if on is not None:
            self.on = on
        return self.on

    def scan(self):
        assert self.on
        return [(ssid.encode(), b"", 1, AIR[ssid][1], 3 if AIR[ssid][0] else 0, False) for ssid in AIR]

    def isconnected(self):
        return self.ssid is not None

    def disconnect(self):
        self.ssid = None

    def connect(self, ssid, password):
        if AIR[ssid][0] != (password or ""):
            return
        self.ssid = ssid
        with open("joined.txt", "w") as file:
            file.write(ssid)
