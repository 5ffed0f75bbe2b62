"""Goes the device's way on the board itself, with its own network and its own code: what `latchpin doctor --port` sends there.

Not installed on a board, and not imported by anybody: it runs in the raw REPL and prints `STEP|ok|WHAT` or `STEP|FAIL|WHAT`
lines. The key stays where it is, and no PIN is asked for.
"""

import asyncio

from latchpin import runtime
from latchpin.adapters import clock, settings
from latchpin.adapters.mqtt_link import MqttLink
from latchpin.adapters.stream import LinkError
from latchpin.agent.conversation import Conversation
from latchpin.wire import topics
from latchpin.wire.errors import PeerError

ANSWER_S = 10
# Which step a link's code (adapters/stream.py) belongs to.
STEPS = {
    "dns": "name",
    "tcp": "connection",
    "timeout": "connection",
    "tls": "certificate",
    "protocol": "login",
    "closed": "login",
}
WAY = ("name", "connection", "certificate", "login", "subscription")


class Failed(Exception):
    """(step, what was seen)"""


async def join(networks, device):
    """The network that the board is in."""
    try:
        import network as radio
    except ImportError:
        return "the computer's own"
    from latchpin.adapters.wifi import Wifi

    wifi = Wifi(networks, device)
    wlan = radio.WLAN(radio.STA_IF)
    for known in wifi.nearest():
        if wlan.isconnected() or await wifi.join(known):
            return "joined"
    if wlan.isconnected():
        return "joined"
    raise Failed("wifi", "no network known" if not networks else "none of the known networks lets the board in")


async def main():
    try:
        identity, options = settings.load()
    except settings.SettingsError as error:
        raise Failed("files", str(error))
    say("files", identity.device)
    say("wifi", await join(options.get("wifi", []), identity.device))
    clock.start(options)
    down = topics.topic(identity.device, "down")
    link = MqttLink(options["broker"], identity.device, identity.mqtt_password, (down,))
    try:
        try:
            await link.connect()
        except LinkError as error:
            step = "subscription" if error.text == "subscription" else STEPS.get(error.code, "login")
            for passed in WAY[: WAY.index(step)]:
                say(passed, "good")
            raise Failed(step, str(error))
        for passed in WAY:
            say(passed, "good")
        await converse(link, identity, options)
    finally:
        await link.close()


async def converse(link, identity, options):
    """Handshake and the first request, as the agent makes them."""
    talk = Conversation(identity, runtime.random_bytes)

    async def tell(step, effect):
        try:
            await link.publish(effect.topic, effect.payload, False, ANSWER_S)
            while True:
                _, payload = await asyncio.wait_for(link.receive(), ANSWER_S)
                try:
                    return talk.hear(payload, runtime.ticks_ms())
                except PeerError:
                    continue
        except asyncio.TimeoutError:
            raise Failed(step, "no answer within %d s [%s]" % (ANSWER_S, talk.request_id))
        except OSError as error:
            raise Failed(step, str(error))

    for step, effect, wanted in (("hello", talk.greet, "message_2"), ("handshake", talk.prove, "message_4")):
        if (await tell(step, effect(runtime.ticks_ms())))[0] != wanted:
            raise Failed(step, "the bridge refused [%s]" % talk.request_id)
        say(step, "answered [%s]" % talk.request_id)
    step = "authorization server"
    _, reply = await tell(step, talk.ask("DISCOVER", {"resource": options["resource"]}, runtime.ticks_ms()))
    if reply is None or reply.name != "OFFER":
        raise Failed(step, "error %s [%s]" % (reply.get("error") if reply else None, talk.request_id))
    if reply.get("challenge_endpoint"):
        way = "a challenge endpoint"
    elif reply.get("device_authorization_endpoint"):
        way = "the device grant (it asks for no PIN but shows a code)"
    else:
        raise Failed(step, "it offers neither an authorization challenge endpoint nor the device grant: it wants a browser")
    say(step, reply.issuer + ", with " + way + (" and DPoP" if reply.dpop_supported else ", without DPoP"))


def say(step, seen, how="ok"):
    """One line for the doctor."""
    print("|".join((step, how, seen)))


try:
    asyncio.run(main())
except Failed as failed:
    say(failed.args[0], failed.args[1], "FAIL")
