"""Client certificates in place of passwords, at a real mosquitto: for the bridge and for a device.

Not for the broker's own certificate: test_broker_client.py has that.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from broker_bridge import app, settings
from broker_bridge.configuration import ConfigurationError
from tests.bridge.driver import Device, Identity, Place, running
from tests.bridge.foreign import Foreign, prompt
from tests.bridge.test_command import bridge as command
from tests.brokers import running as brokers
from tests.brokers.running import Running

pytestmark = [pytest.mark.mosquitto, pytest.mark.skipif(not brokers.have_mosquitto(), reason=brokers.MISSING)]


class Town(NamedTuple):
    place: Place
    broker: Running
    by_certificate: Running
    authority: trustme.CA
    device: Identity


def certificate(authority: trustme.CA, folder: Path, name: str) -> dict[str, str]:
    made = authority.issue_cert(common_name=name)
    files = folder / f"{name}.client.pem", folder / f"{name}.client.key"
    made.cert_chain_pems[0].write_to_path(files[0])
    made.private_key_pem.write_to_path(files[1])
    return {"client_certificate": str(files[0]), "client_private_key": str(files[1])}


@pytest.fixture
def town(place: Place, tmp_path: Path) -> Iterator[Town]:
    """mosquitto with a second listener, which wants a certificate and takes the name in it for the username."""
    authority, port, folder = trustme.CA(), brokers.free_port(), tmp_path / "broker"
    folder.mkdir()
    authority.cert_pem.write_to_path(folder / "clients.pem")
    brokers.certificate(folder)
    device = place.identity()
    more = f"""
listener {port} 127.0.0.1
protocol mqtt
certfile {folder / "broker.pem"}
keyfile {folder / "broker.key"}
cafile {folder / "clients.pem"}
require_certificate true
use_identity_as_username true
use_username_as_clientid true
acl_file {folder / "acl"}
"""
    with brokers.mosquitto(folder, place.registry, more=more) as broker:
        second = Running(
            "mosquitto", broker.host, port, broker.ca, "not asked for", broker.process, broker.registry, broker.reload
        )
        yield Town(place, broker, second, authority, device)


def test_a_bridge_with_a_certificate_and_without_a_password_serves(town: Town, server: Foreign, tmp_path: Path):
    server.says("/challenge", prompt())
    ours = certificate(town.authority, tmp_path, "bridge")
    config = town.place.configure(town.by_certificate, server.issuer, server.resource, server.ca, broker=ours)
    config.write_text(config.read_text().replace('password_file = "broker.password"\n', ""))
    told = command("check", "--config", config).stdout.splitlines()
    assert len([line for line in told if line.startswith("ok    broker.")]) == 6, told
    with running(config):
        device = Device(town.device, town.broker).shake()
        assert device.ask("CHALLENGE", resource=0, scope=1, code_challenge="c" * 43).name == "PROMPT"
        device.close()


def test_no_certificate_and_one_of_another_authority_are_refused(town: Town, server: Foreign, tmp_path: Path):
    strangers = certificate(trustme.CA(), tmp_path, "bridge")
    config = town.place.configure(town.by_certificate, server.issuer, server.resource, server.ca)
    without = command("check", "--config", config)
    config = town.place.configure(town.by_certificate, server.issuer, server.resource, server.ca, broker=strangers)
    wrong = command("check", "--config", config)
    for done in (without, wrong):
        assert done.returncode == 1 and "FAIL  broker.login" in done.stdout and "Traceback" not in done.stderr


def test_a_device_with_a_certificate_is_itself_and_no_other(town: Town, server: Foreign, tmp_path: Path):
    server.says("/challenge", prompt())
    victim = town.place.identity()
    town.broker.reload()
    with running(town.place.configure(town.broker, server.issuer, server.resource, server.ca)):
        context = ssl.create_default_context(cafile=str(town.broker.ca))
        context.load_cert_chain(*certificate(town.authority, tmp_path, town.device.device).values())
        device = Device(town.device, town.by_certificate, context)
        device.client.subscribe(f"latchpin/1/{victim.device}/down", qos=1)
        device.shake()
        assert device.ask("CHALLENGE", resource=0, scope=1, code_challenge="c" * 43).name == "PROMPT"
        other = Device(victim, town.broker).shake()
        assert other.ask("DISCOVER", resource=0).name == "OFFER"
        assert device.came.empty(), "the other one's frames are not for it"
        assert device.ask("DISCOVER", resource=0).name == "OFFER"
        other.close()
        device.close()


def test_a_certificate_without_its_key_is_told_by_name(place: Place, server: Foreign, broker: Running, tmp_path: Path):
    ours = certificate(trustme.CA(), tmp_path, "bridge")
    Path(ours["client_private_key"]).write_text(Path(ours["client_certificate"]).read_text())
    config = place.configure(broker, server.issuer, server.resource, server.ca, broker=ours)
    with pytest.raises(ConfigurationError, match=r"broker\.client_certificate"):
        app.login(settings.load(config, {}))
