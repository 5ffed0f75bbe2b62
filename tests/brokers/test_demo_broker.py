"""What only the demo broker does: its command, its limits, its tap, and how it parts from clients.

Not what both brokers do (test_sessions.py, test_isolation.py), nor malformed packets (test_packets.py).
"""

import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import mqtt5
import pytest
from mqtt5 import ConnAckReasonCode, DisconnectReasonCode, PubAckReasonCode, QoS

from broker_bridge.registry import Registry
from host_sim.mqtt_broker import matcher, may, read_tap
from tests.brokers import running
from tests.brokers.clients import Paho, Raw, eventually, raw
from tests.brokers.conftest import enrolled, password
from tests.brokers.running import Running

ALPHA = "latchpin/1/lp-alpha"


def joined(client: Raw, device: str = "lp-alpha", **more: object) -> Raw:
    assert client.connect(device, password(device), **more).reason_code == ConnAckReasonCode.SUCCESS
    return client


def memory_kb(broker: Running) -> int:
    lines = Path(f"/proc/{broker.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def start(folder: Path, change: tuple[str, str] = ("", "")) -> subprocess.CompletedProcess[str]:
    enrolled(folder)
    running.certificate(folder)
    (folder / "bridge.password").write_text("secret-of-the-bridge\n")
    text = (
        'listen = "127.0.0.1:0"\ncertificate = "broker.pem"\nprivate_key = "broker.key"\nregistry = "devices.toml"\n'
        '[bridge]\nusername = "bridge"\npassword_file = "bridge.password"\n'
    )
    assert change[0] in text
    (folder / "broker.toml").write_text(text.replace(*change))
    command = [sys.executable, "-m", "host_sim", "broker", "--config", str(folder / "broker.toml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("127.0.0.1:0", "0.0.0.0:0"), "must be loopback"),
        (("127.0.0.1:0", "192.0.2.1:8883"), "mosquitto"),
        (("127.0.0.1:0", "[::]:0"), "must be loopback"),
        (("127.0.0.1:0", "broker.example:8883"), "an IP address and a port"),
        (("127.0.0.1:0", "127.0.0.1:99999"), "an IP address and a port"),
        (("listen", "listens"), "listen: is missing"),
        (("[bridge]", "[bridges]"), "bridge: is missing"),
        (("listen", "listen = = "), "not TOML"),
        (('"broker.pem"', '"gone.pem"'), "certificate: names a file that is not there"),
        (('"broker.pem"', '"broker.key"'), "not a pair"),
        (('"broker.pem"', "3"), "certificate: must be text"),
        (('"bridge.password"', '"gone"'), "bridge.password_file: names a file that is not there"),
        (('username = "bridge"', 'username = "+"'), "bridge.username"),
        (('username = "bridge"', 'username = "bridge"\nretain = true'), "not a setting"),
        (("[bridge]", "tape = 1\n[bridge]"), "not a setting"),
        (('username = "bridge"', "usernames = []"), "username"),
        (('"devices.toml"', '"broker.pem"'), "not TOML"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_with_a_line_for_each_mistake(
    tmp_path: Path, change: tuple[str, str], said: str
):
    ended = start(tmp_path, change)
    assert ended.returncode == 2
    assert ended.stdout == ""
    misspelt = change[1] in ("listens", "[bridges]")  # one is missing, and one is nobody's
    assert said in ended.stderr and ended.stderr.count("\n") == (2 if misspelt else 1)
    assert "secret-of-the-bridge" not in ended.stderr and "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_named_as_the_reason(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = start(tmp_path, ("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
    assert ended.returncode == 2 and "choose another port" in ended.stderr


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_ends_it_beside_a_deaf_client_and_the_clients_are_told(tmp_path: Path, number: int):
    with running.embedded(tmp_path, enrolled(tmp_path)) as broker, raw(broker) as client, raw(broker) as deaf:
        joined(client, will=mqtt5.Will(ALPHA + "/state", payload=b"0"))
        joined(deaf, "lp-bravo")
        broker.process.send_signal(number)
        assert client.receive().reason_code == DisconnectReasonCode.SERVER_SHUTTING_DOWN
        assert broker.process.wait(30) == 0
    log = (tmp_path / "broker.log").read_text()
    assert "demo broker" in log and "Traceback" not in log


def test_help_shows_a_whole_configuration():
    shown = subprocess.run([sys.executable, "-m", "host_sim", "broker", "--help"], capture_output=True, text=True, check=True)
    for word in ("listen", "certificate", "private_key", "registry", "tap", "password_file", "mosquitto", "ready mqtts://"):
        assert word in shown.stdout


def test_there_is_no_plaintext_and_no_old_tls(demo_broker: Running):
    with socket.create_connection((demo_broker.host, demo_broker.port), 5) as plain:
        plain.sendall(mqtt5.ConnectPacket("lp-alpha", username="lp-alpha", password=b"lp-alpha" * 3).write())
        assert b" \x02" not in plain.recv(100)
    context = ssl.create_default_context(cafile=str(demo_broker.ca))
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((demo_broker.host, demo_broker.port), 5) as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_who_connects_and_says_nothing_is_let_go(demo_broker: Running):
    with raw(demo_broker) as client:
        started = time.monotonic()
        assert client.receive() is None
        assert time.monotonic() - started > 4


@pytest.mark.parametrize("secret", (b"", b"wrong", b"lp-alpha" * 2, b"\xff\xfe", b"x" * 4000))
def test_a_wrong_password_is_named_as_such_and_not_logged(tmp_path: Path, demo_broker: Running, secret: bytes):
    for name in ("lp-alpha", "lp-nobody", "bridge"):
        with raw(demo_broker) as client:
            assert client.connect(name, secret).reason_code == ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD
            assert client.receive() is None


def test_a_client_id_that_is_not_the_username_is_refused(demo_broker: Running):
    for client_id in ("", "lp-bravo", "x", "LP-ALPHA"):
        with raw(demo_broker) as client:
            answer = client.connect("lp-alpha", password("lp-alpha"), client_id=client_id)
            assert answer.reason_code == ConnAckReasonCode.CLIENT_ID_NOT_VALID


def test_what_connect_asks_for_and_cannot_have_is_refused_by_name(demo_broker: Running):
    two = mqtt5.Will(ALPHA + "/state", qos=QoS.EXACTLY_ONCE)
    foreign, long = mqtt5.Will("latchpin/1/lp-bravo/state"), mqtt5.Will(ALPHA + "/state", payload=bytes(5000))
    for asked, reason in (
        ({"will": two}, ConnAckReasonCode.QUALITY_NOT_SUPPORTED),
        ({"will": foreign}, ConnAckReasonCode.NOT_AUTHORIZED),
        ({"will": long}, ConnAckReasonCode.PACKET_TOO_LARGE),
        ({"authentication_method": "x"}, ConnAckReasonCode.BAD_AUTHENTICATION_METHOD),
    ):
        with raw(demo_broker) as client:
            assert client.connect("lp-alpha", password("lp-alpha"), **asked).reason_code == reason


def test_the_broker_says_what_it_offers(demo_broker: Running):
    with raw(demo_broker) as client:
        offer = client.connect("lp-alpha", password("lp-alpha"), keep_alive=0, session_expiry_interval=100)
        assert (offer.max_qos, offer.topic_alias_max, offer.max_packet_size) == (QoS.AT_LEAST_ONCE, 0, 8192)
        assert (offer.server_keep_alive, offer.session_expiry_interval, offer.session_present) == (600, 0, False)
        assert offer.receive_max == 16


def test_qos_2_and_topic_aliases_end_the_connection_by_name(demo_broker: Running):
    with raw(demo_broker) as client:
        assert joined(client).publish(ALPHA + "/hello", qos=2).reason_code == DisconnectReasonCode.QOS_NOT_SUPPORTED
    with raw(demo_broker) as client:
        joined(client).send(mqtt5.PublishPacket(ALPHA + "/hello", b"", topic_alias=1))
        assert client.receive().reason_code == DisconnectReasonCode.TOPIC_ALIAS_INVALID


def test_only_the_state_is_retained(demo_broker: Running):
    with raw(demo_broker) as client:
        joined(client)
        for rest, code in (("hello", PubAckReasonCode.NOT_AUTHORIZED), ("up/r001", PubAckReasonCode.NOT_AUTHORIZED)):
            assert client.publish(f"{ALPHA}/{rest}", b"x", retain=True).reason_code == code
        assert client.publish(f"{ALPHA}/state", b"", retain=True).reason_code == PubAckReasonCode.NO_MATCHING_SUBSCRIBERS


def test_a_payload_longer_than_a_frame_is_refused_and_the_connection_stays(demo_broker: Running):
    with raw(demo_broker) as client:
        assert joined(client).publish(ALPHA + "/hello", bytes(4097)).reason_code == PubAckReasonCode.QUOTA_EXCEEDED
        assert isinstance(client.ping(), mqtt5.PingRespPacket)


def test_a_device_that_does_not_acknowledge_is_let_go_and_nobody_else_notices(demo_broker: Running):
    with raw(demo_broker) as slow, raw(demo_broker) as other:
        joined(slow).subscribe(ALPHA + "/down")
        joined(other, "lp-bravo").subscribe("latchpin/1/lp-bravo/down")
        bridge = Paho(demo_broker, "bridge", demo_broker.bridge_password)
        codes = [bridge.publish(ALPHA + "/down", b"%d" % number) for number in range(90)]
        assert codes.count(0) == 81 and codes[-1] == 0x10, "16 under way, 64 in the queue, one too many"
        got = [slow.receive() for _ in range(17)]
        assert [packet.payload for packet in got[:16]] == [b"%d" % number for number in range(16)]
        assert got[16].reason_code == DisconnectReasonCode.QUOTA_EXCEEDED
        assert bridge.publish("latchpin/1/lp-bravo/down", b"x") == 0
        assert other.receive().payload == b"x"
        bridge.close()


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory is read from /proc")
def test_a_device_that_does_not_read_costs_no_memory(demo_broker: Running):
    with raw(demo_broker) as deaf, raw(demo_broker) as sender:
        joined(deaf).subscribe(ALPHA + "/down", options=0)
        assert sender.connect("bridge", demo_broker.bridge_password).reason_code == ConnAckReasonCode.SUCCESS
        before = memory_kb(demo_broker)
        packet = mqtt5.PublishPacket(ALPHA + "/down", bytes(4000)).write()
        for _ in range(100):
            sender.send(packet * 100)
        assert isinstance(sender.ping(), mqtt5.PingRespPacket)
        assert memory_kb(demo_broker) - before < 16_000, "40 MB went to a client that does not read"


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory is read from /proc")
def test_a_client_that_asks_and_never_reads_is_not_heard_any_more(demo_broker: Running):
    with raw(demo_broker) as deaf:
        joined(deaf).socket.settimeout(1)
        before = memory_kb(demo_broker)
        with pytest.raises(TimeoutError):
            for _ in range(4000):
                deaf.send(b"\xc0\x00" * 8192)
        assert memory_kb(demo_broker) - before < 16_000
        # Only now: a connection without CONNECT is closed after a while, and a slow machine needs longer than that above.
        with raw(demo_broker) as other:
            assert isinstance(joined(other, "lp-bravo").ping(), mqtt5.PingRespPacket)


def test_a_revoked_device_is_let_go_within_seconds(tmp_path: Path):
    registry = enrolled(tmp_path)
    with running.embedded(tmp_path, registry) as broker, raw(broker) as client, raw(broker) as other:
        joined(client)
        joined(other, "lp-bravo")
        registry.revoke("lp-alpha")
        assert client.receive(3).reason_code == DisconnectReasonCode.NOT_AUTHORIZED
        assert client.receive() is None
        assert isinstance(other.ping(), mqtt5.PingRespPacket)


def test_a_registry_that_broke_leaves_in_force_what_was_read(tmp_path: Path):
    with running.embedded(tmp_path, enrolled(tmp_path)) as broker:
        whole = Registry(tmp_path / "devices.toml").path.read_text()
        (tmp_path / "devices.toml").write_text("[devices")
        with raw(broker) as client:
            joined(client)
        (tmp_path / "devices.toml").write_text(whole.replace("lp-alpha", "lp-delta"))
        with raw(broker) as client:
            assert client.connect("lp-alpha", password("lp-alpha")).reason_code != ConnAckReasonCode.SUCCESS
        with raw(broker) as client:
            assert client.connect("lp-delta", password("lp-alpha")).reason_code == ConnAckReasonCode.SUCCESS
        assert "not TOML" in (tmp_path / "broker.log").read_text()


def test_the_tap_holds_every_publish_and_will_also_refused_ones(tmp_path: Path):
    with running.embedded(tmp_path, enrolled(tmp_path)) as broker:
        with raw(broker) as client:
            joined(client, will=mqtt5.Will(ALPHA + "/state", payload=b"gone"))
            client.publish(ALPHA + "/hello", b"\0\1\2", qos=0)
            client.publish("latchpin/1/lp-bravo/hello", b"forged")
            client.publish(ALPHA + "/up/r001", b"", qos=1)
        assert broker.tap
        tap = broker.tap
        assert eventually(lambda: len(list(read_tap(tap))) == 4)
    assert list(read_tap(tap)) == [
        (ALPHA + "/hello", b"\0\1\2"),
        ("latchpin/1/lp-bravo/hello", b"forged"),
        (ALPHA + "/up/r001", b""),
        (ALPHA + "/state", b"gone"),
    ]
    log = (tmp_path / "broker.log").read_text()
    assert "forged" not in log and password("lp-alpha") not in log


@pytest.mark.parametrize(
    ("levels", "yes", "no"),
    [
        ("a/b", ["a/b"], ["a", "a/b/c", "a/B", "/a/b", "a/b/"]),
        ("a/+", ["a/b", "a/"], ["a", "a/b/c", "b/a"]),
        ("+/b", ["a/b", "/b"], ["$a/b", "b", "a/a/b"]),
        ("+", ["a", ""], ["a/b", "/", "$a"]),
        ("#", ["a", "a/b", "/", "a/b/c"], ["$SYS", "$SYS/a"]),
        ("a/#", ["a", "a/b", "a/", "a/b/c"], ["b", "ab", "ab/c"]),
        ("+/#", ["a", "a/b", "/"], ["$SYS/x"]),
        ("a/+/c/#", ["a/b/c", "a//c/d"], ["a/c", "a/b/d"]),
        ("$SYS/#", ["$SYS", "$SYS/a"], ["SYS/a"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_a_filter_matches_as_section_4_7_says(levels: str, yes: list[str], no: list[str]):
    assert [topic for topic in yes if not matcher(levels)(topic)] == []
    assert [topic for topic in no if matcher(levels)(topic)] == []


def test_a_device_may_do_four_things():
    everything = [f"latchpin/1/{device}/{rest}" for device in ("lp-a1", "lp-a2", "+", "#", "%u") for rest in
                  ("hello", "up/r1", "up/+", "up/#", "up", "down", "state", "+", "#", "up/r1/x")]  # fmt: skip
    writes = {topic for topic in everything if may("device", "lp-a1", "write", topic)}
    reads = {topic for topic in everything if may("device", "lp-a1", "read", topic)}
    own = "latchpin/1/lp-a1"
    assert writes == {f"{own}/hello", f"{own}/up/r1", f"{own}/up/+", f"{own}/state"}
    assert reads == {f"{own}/down"}
