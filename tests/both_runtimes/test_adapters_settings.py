"""adapters/settings.py: what a device is told when one of its two files is missing, damaged or wrong.

Not for enrolment over a serial line: tests/adapters/test_flash.py has that.
"""

import json
import os

from latchpin.adapters import settings
from latchpin.adapters.settings import SettingsError
from latchpin.crypto import p256

PIN = "a5" * 32
BRIDGE = (b"\x02", p256.public_key(bytes(31) + b"\x07"))
NEXT = (b"\x03", p256.public_key(bytes(31) + b"\x08"))
GOOD = {"broker": {"host": "broker.example", "pin": PIN}}

_made = []


def folder():
    try:
        from tempfile import mkdtemp

        return mkdtemp()
    except ImportError:
        _made.append(0)
        name = "settings-%d" % len(_made)
        os.mkdir(name)
        return name


def write(directory, name, text):
    with open(directory + "/" + name, "w") as file:
        file.write(text)
    return directory


def random(count):
    return bytes(range(1, count + 1))


def refusal(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except SettingsError as error:
        return str(error)
    raise AssertionError("accepted")


def with_settings(change):
    found = json.loads(json.dumps(GOOD))
    change(found)
    return write(folder(), "settings.json", json.dumps(found))


def test_an_identity_is_made_on_the_device_and_loads_again():
    directory = folder()
    made = settings.make_identity(directory, bridges=[BRIDGE, NEXT], random=random)
    loaded = settings.load_identity(directory)
    assert made.device == loaded.device == "lp-12345678"
    assert loaded.kid == b"\x01" and loaded.public == p256.public_key(loaded.private)
    assert loaded.bridges == [BRIDGE, NEXT]
    assert len(loaded.mqtt_password) == 32


def test_an_existing_identity_is_never_overwritten():
    directory = folder()
    first = settings.make_identity(directory, "lp-first", [BRIDGE])
    again = settings.make_identity(directory)
    assert (again.device, again.private, again.mqtt_password) == (first.device, first.private, first.mqtt_password)
    assert "id already" in refusal(settings.make_identity, directory, "lp-second")
    assert settings.load_identity(directory).private == first.private


def test_the_bridges_of_an_identity_can_be_replaced_and_nothing_else():
    directory = folder()
    first = settings.make_identity(directory, "lp-first", [BRIDGE])
    moved = settings.make_identity(directory, bridges=[NEXT])
    assert moved.bridges == [NEXT] == settings.load_identity(directory).bridges
    assert (moved.private, moved.mqtt_password) == (first.private, first.mqtt_password)


def test_the_enrolment_line_is_device_kid_public_and_password():
    made = settings.make_identity(folder(), "lp-first", [BRIDGE])
    device, kid, public, password = made.enrolment().split()
    assert (device, kid, password) == ("lp-first", "1", made.mqtt_password)
    assert bytes.fromhex(public) == made.public


def test_an_identity_prints_no_secret():
    made = settings.make_identity(folder(), "lp-first", [BRIDGE])
    for shown in (repr(made), str(made), "%s" % made):
        assert made.mqtt_password not in shown and settings._hex(made.private) not in shown


def test_device_ids_are_random_and_fit_a_topic():
    first = settings.make_identity(folder(), bridges=[BRIDGE])
    second = settings.make_identity(folder(), bridges=[BRIDGE])
    assert first.device != second.device and first.private != second.private
    from latchpin.wire import topics

    assert topics.is_id(first.device) and topics.is_id(second.device)


def test_an_id_is_judged_as_the_topics_judge_it():
    from latchpin.wire import topics

    for text in (
        "abc",
        "abcd",
        "a" * 23,
        "a" * 24,
        "-abc",
        "abc-",
        "a-bc",
        "ABCD",
        "ab/d",
        "ab+d",
        "ab#d",
        "ab\0d",
        "äbcd",
        "a_bc",
        "0123",
    ):
        assert settings._is_id(text) == topics.is_id(text), text


def test_a_bad_id_or_no_bridge_makes_no_file():
    for device, bridges in (("Kitchen", [BRIDGE]), ("a/b/c", [BRIDGE]), (None, ())):
        directory = folder()
        refusal(settings.make_identity, directory, device, bridges)
        assert os.listdir(directory) == []


def test_a_bridge_key_is_kid_and_128_hex_digits():
    text = "2:" + settings._hex(BRIDGE[1])
    assert settings.parse_bridge(text) == BRIDGE
    for wrong in ("", "2", text[2:], text[:-1], text + "00", "x" + text, "300" + text[1:], text + ":"):
        assert "KID:PUBLICHEX" in refusal(settings.parse_bridge, wrong)


def test_a_missing_or_damaged_identity_says_what_to_do_and_quotes_nothing():
    directory = folder()
    assert (
        refusal(settings.load_identity, directory)
        == "identity.json: no such file: make one: enrol this device (latchpin flash does)"
    )
    whole = settings.make_identity(directory, "lp-first", [BRIDGE])
    with open(directory + "/identity.json") as file:
        found = json.load(file)
    for key in found:
        less = json.loads(json.dumps(found))
        del less[key]
        assert refusal(settings.load_identity, write(folder(), "identity.json", json.dumps(less))) == (
            "identity.json: no " + key + ": restore the file, or remove it and enrol again"
        )
    for key, value in (
        ("private", "zz"),
        ("private", found["private"] + "00"),
        ("public", found["private"]),
        ("kid", "1"),
        ("kid", 256),
        ("bridges", [[2, "00"]]),
        ("bridges", 7),
    ):
        worse = json.loads(json.dumps(found))
        worse[key] = value
        text = refusal(settings.load_identity, write(folder(), "identity.json", json.dumps(worse)))
        assert text == "identity.json: damaged: restore the file, or remove it and enrol again"
    for text in ("", "{", "[]", "null", '"text"'):
        assert refusal(settings.load_identity, write(folder(), "identity.json", text)).startswith("identity.json: not ")
    assert whole.private


def test_settings_come_with_their_defaults():
    found = settings.load_settings(with_settings(lambda found: None))
    assert found["broker"] == {"host": "broker.example", "pin": PIN, "port": 8883}
    assert (found["resource"], found["scope"], found["keepalive_s"], found["allow_bearer"]) == (0, 0, 30, False)
    assert found["mcp"] == {}


def _broker(**change):
    return lambda found: found["broker"].update(change)


def _top(**change):
    return lambda found: found.update(change)


REFUSED = [
    (lambda found: found.pop("broker"), "broker"),
    (_top(broker="broker.example"), "broker"),
    (_broker(host=""), "broker.host"),
    (_broker(host=5), "broker.host"),
    (_broker(port=0), "broker.port"),
    (_broker(port="8883"), "broker.port"),
    (_broker(port=65536), "broker.port"),
    (_broker(pin=None), "broker"),
    (_broker(pin="a5"), "broker.pin"),
    (_broker(pin=7), "broker.pin"),
    (_broker(ca="missing.der"), "broker.ca"),
    (_top(route="detour"), "route"),
    (_top(route="direct"), "mcp"),
    (_top(mcp={"ca": "missing.der"}), "mcp.ca"),
    (_top(mcp="x"), "mcp"),
    (_top(resource=-1), "resource"),
    (_top(resource=True), "resource"),
    (_top(scope="0"), "scope"),
    (_top(keepalive_s=2), "keepalive_s"),
    (_top(keepalive_s=3601), "keepalive_s"),
    (_top(allow_bearer="no"), "allow_bearer"),
    (_top(call="whoami"), "call"),
    (_top(call={}), "call.tool"),
    (_top(call={"tool": "whoami", "arguments": []}), "call.arguments"),
    (_top(wifi=[{"password": "secret words"}]), "wifi.ssid"),
    (_top(wifi="home"), "wifi"),
]


def test_every_wrong_setting_is_refused_by_file_and_key():
    for change, key in REFUSED:
        text = refusal(settings.load_settings, with_settings(change))
        assert text.startswith("settings.json: " + key + ":") or text.startswith("settings.json: " + key + "."), (key, text)
        assert "secret words" not in text and "missing.der" not in text


def test_missing_or_damaged_settings_say_what_to_do():
    assert refusal(settings.load_settings, folder()) == "settings.json: no such file: write one: boards/README.md has an example"
    assert "not JSON" in refusal(settings.load_settings, write(folder(), "settings.json", "{"))


def test_a_ca_file_must_be_der_and_is_found_in_the_directory():
    directory = with_settings(lambda found: found["broker"].update(ca="ca.der", pin=None))
    write(directory, "ca.der", "-----BEGIN CERTIFICATE-----")
    assert "not DER" in refusal(settings.load_settings, directory)
    write(directory, "ca.der", "0")  # 0x30, a SEQUENCE
    assert settings.load_settings(directory)["broker"]["ca"] == directory + "/ca.der"
