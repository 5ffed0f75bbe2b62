"""One agent and a bridge that really seals, for tests of the agent on both Pythons; which rows of its table were taken.

Not a test.
"""

import json

from bridge_side import BridgeSide, Identity

from latchpin.agent import agent, authorization
from latchpin.agent.agent import Agent
from latchpin.agent.events import Event
from latchpin.runtime import random_bytes
from latchpin.wire import check_digit
from latchpin.wire.bridge_side import NUMBERS

FIRED = set()
PIN = "12345678" + check_digit.damm("12345678")
RESOURCE = "https://mcp.example/mcp"
OFFER = {
    "issuer": "https://as.example",
    "challenge_endpoint": "https://as.example/challenge",
    "token_endpoint": "https://as.example/token",
    "resource_uri": RESOURCE,
    "dpop_supported": True,
}
ASK_PIN = {"name": "pin", "kind": 0, "min": 9, "max": 9, "check": 1, "label": "PIN"}


def recording(state, when):
    """The real table; it is also noted which rows were taken."""
    row = authorization.row(state, when)
    if row:
        for scope in authorization._words(authorization.SCOPES, state):
            if ("\n" + scope + " " + when + " ") in "".join(authorization.TRANSITIONS):
                FIRED.add((scope, when))
                break
    return row


agent._row = recording


class World:
    """One agent and one bridge side, with a clock that the test turns."""

    def __init__(self, settings=None, kept=None, bridge=None, identity=None):
        self.bridge = bridge or BridgeSide()
        self.identity = identity or Identity(self.bridge)
        self.bridge.meet(self.identity)
        self.settings = settings or {}
        self.agent = Agent(self.identity, self.settings, random_bytes, kept)
        self.now_ms = 0
        self.shown = []
        self.kept = kept
        self.effects = []
        self.heard = []

    def do(self, event):
        self.effects = self.agent.handle(event, self.now_ms)
        for effect in self.effects:
            if effect.name == "Show":
                self.shown.append(effect)
            elif effect.name == "Store":
                self.kept = effect.data
            elif effect.name == "Part":
                self.heard.append(effect.data)
        return self.effects

    def sent(self):
        """The payload published to the bridge just now."""
        payloads = [effect.payload for effect in self.effects if effect.name == "Publish"]
        assert len(payloads) == 1, self.effects
        return payloads[0]

    def only(self, kind):
        found = [effect for effect in self.effects if effect.name == kind]
        assert len(found) == 1, self.effects
        return found[0]

    def request(self):
        return self.bridge.open(self.sent())

    def reply(self, name, **fields):
        return self.do(Event("Received", payload=self.bridge.reply(name, **fields)))

    def error(self, code, **fields):
        return self.reply("ERROR", error=NUMBERS[code], **fields)

    def wait(self):
        """Turn the clock to the agent's deadline."""
        assert self.agent.deadline_ms is not None, self.state
        self.now_ms = max(self.now_ms, self.agent.deadline_ms)
        return self.do(Event("Tick"))

    @property
    def state(self):
        return self.agent.state

    @property
    def code(self):
        return self.shown[-1].code

    # Ways into a state.

    def open(self):
        self.do(Event("Started"))
        self.do(Event("LinkUp"))
        return self.shake()

    def shake(self):
        self.do(Event("Received", payload=self.bridge.message_2(self.sent())))
        self.do(Event("Received", payload=self.bridge.message_4(self.sent())))
        assert self.request().name == "DISCOVER"
        return self

    def challenge(self, **offer):
        self.open()
        fields = dict(OFFER)
        fields.update(offer)
        self.reply("OFFER", **fields)
        return self

    def wait_for_pin(self):
        self.challenge()
        self.request()
        self.prompt()
        return self

    def prompt(self, auth_session="session-1", inputs=(ASK_PIN,), ttl_s=600):
        self.reply(
            "PROMPT",
            auth_session=auth_session,
            inputs=list(inputs),
            message="Ask for a PIN",
            tries_left=5,
            ttl_s=ttl_s,
            binding_word="amber fox",
        )

    def type(self, text):
        for key in text:
            self.do(Event("KeyPressed", key=key))

    def answer(self):
        self.wait_for_pin()
        self.type(PIN + "#")
        return self

    def redeem(self):
        self.answer()
        self.request()
        self.reply("CODE", code="code-1", auth_session="session-2")
        return self

    def ready(self, refresh_token="refresh-1", ttl_s=300):
        self.redeem()
        self.request()
        self.tokens(refresh_token, ttl_s)
        return self

    def tokens(self, refresh_token="refresh-1", ttl_s=300):
        fields = {"access_token": "access-1", "token_type": "DPoP", "ttl_s": ttl_s}
        if refresh_token:
            fields["refresh_token"] = refresh_token
        self.reply("TOKENS", **fields)

    def call(self):
        self.ready()
        self.do(Event("Call", tool="blink", arguments={"times": 3}))
        return self

    def result(self, status=200, body=None, block=0, blocks=1, **fields):
        if body is None:
            answer = {"content": [{"type": "text", "text": "blinked"}], "isError": False}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": answer}).encode()
        self.reply("RESULT", status=status, body=body, block=block, blocks=blocks, **fields)


# What leads from or to these, or is one of those words, is test_agent_life.py's.
LIFE = [
    "AUTHORIZING",
    "SHOWING",
    "POLLING",
    "REVOKING",
    "REPORTING",
    "Unpair",
    "farewell",
    "grant",
    "shown",
    "asked",
    "go",
    "browser",
]


def untaken(life):
    """The rows of the table, of a device's life or the others, that no test here has taken; asserts that each is a good one."""
    device = World().agent
    lines = [line.split(" ") for line in authorization.SCOPES.strip().split("\n")]
    states = [line[0] for line in lines]
    scopes = {scope for line in lines for scope in line}
    rows = set()
    seen = set()
    for line in "".join(authorization.TRANSITIONS).strip().replace("\n\n", "\n").split("\n"):
        scope, when, do, be = line.split(" ")
        assert scope in scopes and (be == "." or be in states) and _is_deed(device, do), line
        assert (scope, when) not in seen, line
        seen.add((scope, when))
        if (scope in LIFE or when in LIFE or be in LIFE or (when == "call" and scope != "READY")) == life:
            rows.add((scope, when))
    return sorted(rows - FIRED)


def _is_deed(device, do):
    room, _, deed = do.rpartition(".")
    return hasattr(agent._room(room) if room else device, deed)
