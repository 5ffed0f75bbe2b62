"""Improv Wi-Fi over serial, byte by byte as improv-wifi.com/serial has it, and what a board remembers of a network.

Not against another implementation: tests/peers/test_improv.py has that.
"""

import asyncio
import json
import os

from latchpin.adapters import wifi
from latchpin.adapters.improv_serial import Improv
from latchpin.adapters.wifi_setup import WifiSetup

AIR = {"MyWirelessAP": ("mysecurepassword", -60), "café": ("", -40), "far": ("x", -90)}
INFO = ("Latchpin", "1.2.3", "ESP32", "lp-test")

READY, PROVISIONING, PROVISIONED = (b"\x01\x01\x02", b"\x01\x01\x03", b"\x01\x01\x04")
NO_ERROR, INVALID, UNKNOWN, UNABLE = (b"\x02\x01\x00", b"\x02\x01\x01", b"\x02\x01\x02", b"\x02\x01\x03")


class Wlan:
    """A network.WLAN with the networks of AIR in sight."""

    def __init__(self):
        self.ssid = None

    def active(self, on):
        pass

    def isconnected(self):
        return self.ssid is not None

    def disconnect(self):
        self.ssid = None

    def connect(self, ssid, password):
        if ssid in AIR and AIR[ssid][0] == (password or ""):
            self.ssid = ssid

    def scan(self):
        twice = [("MyWirelessAP", -70), ("", -10)]
        seen = [(ssid, AIR[ssid][1]) for ssid in sorted(AIR)] + twice
        found = [(ssid.encode(), b"", 1, rssi, 3 if AIR.get(ssid, ("x",))[0] else 0, False) for ssid, rssi in seen]
        found.append((b"\xff\xfe", b"", 1, -1, 3, False))
        return found


class Line:
    """A board on whose line one types bytes; `.heard` are the packets that came back, without header and checksum."""

    def __init__(self, settings=None):
        with open("settings.json", "w") as file:
            json.dump(settings or {"scope": 3}, file)
        self.setup = WifiSetup("lp-test", Wlan())
        self.heard = []
        self.improv = Improv(self.setup, INFO, self.write)

    def write(self, data):
        assert data[:7] == b"IMPROV\x01" and data[-1] == 10
        assert data[-2] == sum(data[:-2]) & 0xFF and data[8] == len(data) - 11
        self.heard.append(bytes(data[7:-2]))

    def type(self, data):
        async def feed():
            for byte in data:
                await self.improv.feed(byte)

        before = wifi.JOIN_S
        wifi.JOIN_S = 0
        try:
            asyncio.run(feed())
        finally:
            wifi.JOIN_S = before
        heard, self.heard = self.heard, []
        return heard

    def settings(self):
        with open("settings.json") as file:
            return json.load(file)


def packet(kind, data):
    whole = b"IMPROV\x01" + bytes((kind, len(data))) + data
    return whole + bytes((sum(whole) & 0xFF,))


def rpc(command, data=b""):
    return packet(3, bytes((command, len(data))) + data)


def wifi_settings(ssid, password):
    return rpc(1, bytes((len(ssid),)) + ssid + bytes((len(password),)) + password)


def strings(command, *texts):
    body = b"".join([bytes((len(text),)) + text for text in texts])
    return b"\x04" + bytes((len(body) + 2, command, len(body))) + body


def test_the_example_of_the_standard_joins_and_is_remembered():
    line = Line()
    # "01 1E 0C {MyWirelessAP} 10 {mysecurepassword}"
    command = b"\x01\x1e\x0cMyWirelessAP\x10mysecurepassword"
    assert line.type(packet(3, command)) == [NO_ERROR, PROVISIONING, PROVISIONED, strings(1, b"")]
    assert line.improv.done
    known = [{"ssid": "MyWirelessAP", "password": "mysecurepassword"}]
    assert line.settings() == {"scope": 3, "wifi": known} and line.setup.networks == known
    assert "settings.json.tmp" not in os.listdir()


def test_what_does_not_join_is_not_remembered_and_may_be_corrected():
    line = Line({"wifi": [{"ssid": "far", "password": "y"}]})
    assert line.type(wifi_settings(b"MyWirelessAP", b"wrong")) == [NO_ERROR, PROVISIONING, READY, UNABLE]
    assert line.settings() == {"wifi": [{"ssid": "far", "password": "y"}]} and not line.improv.done
    assert line.type(wifi_settings("café".encode(), b""))[-1] == strings(1, b"")
    assert line.type(wifi_settings(b"far", b"x"))[-1] == strings(1, b"")
    assert line.settings()["wifi"] == [{"ssid": "far", "password": "x"}, {"ssid": "café"}]


def test_the_state_is_told_and_a_result_follows_once_it_is_provisioned():
    line = Line()
    assert line.type(rpc(2)) == [NO_ERROR, READY]
    line.type(wifi_settings(b"far", b"x"))
    assert line.type(rpc(2)) == [NO_ERROR, PROVISIONED, strings(2, b"")]


def test_the_device_says_firmware_version_chip_and_name():
    assert Line().type(rpc(3)) == [NO_ERROR, strings(3, b"Latchpin", b"1.2.3", b"ESP32", b"lp-test")]


def test_networks_in_sight_come_once_each_the_strongest_first_and_then_an_empty_result():
    assert Line().type(rpc(4)) == [
        NO_ERROR,
        strings(4, "café".encode(), b"-40", b"NO"),
        strings(4, b"MyWirelessAP", b"-60", b"YES"),
        strings(4, b"far", b"-90", b"YES"),
        strings(4),
    ]


def test_what_it_does_not_know_or_cannot_read_has_its_own_error():
    for sent, heard in (
        (rpc(5), [NO_ERROR, UNKNOWN]),
        (rpc(200, b"abc"), [NO_ERROR, UNKNOWN]),
        (packet(3, b""), [NO_ERROR, INVALID]),
        (packet(3, b"\x02"), [NO_ERROR, INVALID]),
        (packet(3, b"\x02\x01"), [NO_ERROR, INVALID]),
        (rpc(1), [NO_ERROR, INVALID]),
        (rpc(1, b"\x00\x00"), [NO_ERROR, INVALID]),
        (rpc(1, b"\x04home"), [NO_ERROR, INVALID]),
        (rpc(1, b"\x04home\x05a"), [NO_ERROR, INVALID]),
        (rpc(1, b"\x04home\x01aa"), [NO_ERROR, INVALID]),
        (rpc(1, b"\x02\xff\xfe\x00"), [NO_ERROR, INVALID]),
        (rpc(2)[:-1] + b"\x00", [INVALID]),
        (packet(1, b"\x02"), []),
        (packet(9, b""), []),
        (b"IMPROV\x02" + rpc(2)[7:], []),
    ):
        assert Line().type(sent) == heard, sent


def test_other_bytes_on_the_line_are_passed_over_and_every_packet_is_found():
    line = Line()
    for before in (b"IMPRO", b"IMPIMPR", b"\x00\xff\n", b"ls -l\r\n"):
        assert line.type(before + rpc(2) + b"\n") == [NO_ERROR, READY], before
    line.type(b"IMPROV\x01\x03\xf0half of a packet")
    line.improv.forget()
    assert line.type(rpc(2)) == [NO_ERROR, READY]


def test_ctrl_c_interrupts_but_not_in_a_packet():
    line = Line()
    assert line.type(rpc(3))  # byte 3 is its type and its command
    for before in (b"", b"IMP", b"hello"):
        try:
            line.type(before + b"\x03")
        except KeyboardInterrupt:
            continue
        raise AssertionError("Ctrl-C was swallowed")


def test_nothing_prints_a_password():
    line = Line()
    line.type(wifi_settings(b"far", b"x-secret-x"))
    assert "secret" not in repr(line.improv) + repr(line.setup) + str(line.improv)
