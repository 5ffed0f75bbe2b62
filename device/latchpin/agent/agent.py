"""The front door: an event in, effects out; and what a device does whether it is paired or not: greet, rest, say, sign.

Not for I/O, time or chance: they come as arguments. Which deed follows which event stands in authorization.py; a deed of a
phase stands in the room of that name (pairing, granting, calling, parting), which is in memory while it is needed.
"""

# What is None in which state is the table's matter (authorization.py), and a checker reads neither that nor what the rooms set.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalIterable=false
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import sys

from latchpin import runtime
from latchpin.agent.conversation import Conversation
from latchpin.agent.events import Event
from latchpin.agent.token_keeper import TokenKeeper
from latchpin.runtime import const
from latchpin.wire.errors import CODES, PeerError

_IDLE_MS = const(30_000)
_RECONNECT_S = const((1, 300))
_BACK_OFF_S = const((1, 60))
_LOCKED_POLL_S = const(60)
_MOST_SIGNATURES = const(3)
_SURE_MS = const(30_000)
# Keys that free the device, in any state: unpair, and a factory reset. A second "#" confirms.
_UNPAIR = const("*000#")
_RESET = const("*999#")


class Agent:
    """The mind of a device. What has no underscore is for the rooms of its deeds too.

    identity: `.device`, `.kid`, `.private`, `.public`, `.bridges` (adapters/settings.py); settings: the dict of settings.json;
    random: bytes from a count; kept: what the journal held, or None.
    """

    def __init__(self, identity, settings: dict, random, kept: bytes | None = None):
        self._identity = identity
        self.settings = settings
        self._random = random
        self.talk = Conversation(identity, random)
        self.tokens = TokenKeeper(random)
        self.dropped = 0
        if kept is not None:
            try:
                self.tokens.unpack(kept)
            except PeerError:
                self.dropped += 1
                self.tokens.forget()
        self.state = "OFFLINE"
        self.effects = []
        self.now_ms = 0
        self._epoch_ms = 0
        self.wake_ms = None
        self.wait_s = 0
        self.nonces = [None, None]  # DPoP's: of the authorization server, of the MCP server
        self.offer = None
        self.prompt = None
        self.entry = None
        self.answers = {}
        self.lapses_ms = 0
        self.signed = None
        self._unsent = False
        self._signatures = 0
        self.call = self.next = None  # a dict as an application wants it, a list once it is begun (mcp.py)
        self.server = {}  # what is known of the MCP server (mcp.py)
        self.more = {}  # what a resource server wants beyond the last token
        self.brings = False  # the auth_session has had no code_challenge of the verifier that is kept
        self._begun = ""
        self._sure = None
        self._last = None

    @property
    def deadline_ms(self) -> int | None:
        """When a Tick is due, if nothing else happens before."""
        due = [at for at in (self.wake_ms, self.talk.deadline_ms) if at is not None]
        return min(due) if due else None

    def handle(self, event, now_ms: int) -> list:
        """What an event makes the device do, in order. now_ms: monotonic, never wrapping."""
        self.now_ms = now_ms
        self.effects = []
        try:
            self._take(event)
        except PeerError:
            self.dropped += 1
        effects, self.effects = self.effects, []
        return effects

    def fire(self, when: str | None, cause=None) -> bool:
        """Take the row of this state and `when`: be in the new state, then do the deed, which may name what follows at once (a
        pending call, say). False: no row, so nothing happens."""
        fired = False
        while when:
            row = _row(self.state, when)
            if not row:
                break
            fired = True
            do, be = row
            if be != ".":
                self.state = be
            room, _, deed = do.rpartition(".")
            when = getattr(_room(room), deed)(self, when, cause) if room else getattr(self, deed)(when, cause)
            if self._unsent:
                # Not by the deed itself: signing takes room, and the code of the deed can leave.
                self._unsent = False
                self._send(*self.signed)
        return fired

    # Events become the words of the table.

    def _take(self, event):
        fire = self.fire
        name = event.name
        if name == "Received":
            heard, reply = self.talk.hear(event.fields.pop("payload"), self.now_ms)
            runtime.make_room()
            if reply is None:
                fire(heard)
            else:
                self._take_reply(reply)
        elif name == "KeyPressed":
            self._take_key(event.key)
        elif name == "Tick":
            self._take_tick()
        elif name == "Call":
            if isinstance(self.call, list):
                # One is under way, or waits for more than its token was good for.
                self.next = dict(event.fields)
                return
            self.call = dict(event.fields)
            if self.state not in ("WAITING", "SHOWING") or self.tokens.usable(self.now_ms):
                fire(self.keyed("call"))
        elif name[:4] != "Http":
            fire(name, event)
        elif self.state == "CALLING":
            self._follow(_room("calling").hear_post(self, event))

    def _take_reply(self, reply):
        fire = self.fire
        keeper = self.tokens
        now_s = reply.now
        # `now` is authenticated, yet its source may err: the clock never goes back by more than a day.
        if now_s + 86_400 >= keeper.seen_s:
            self._epoch_ms = now_s * 1000 - self.now_ms
            keeper.seen_s = max(now_s, keeper.seen_s)
            self.effects.append(Event("SetClock", now_s=now_s, sure=True))
        self.nonces[self.state == "CALLING"] = reply.get("dpop_nonce", self.nonces[self.state == "CALLING"])
        name = reply.name
        when = name.lower()
        if name == "ERROR":
            when = CODES.split(" ")[reply.error - 1]
        if when not in ("use_dpop_nonce", "result"):
            self.signed = None
        if reply.get("auth_session") and when != "tokens":
            keeper.auth_session = reply.auth_session
            self.store()
        if when == "result" and self.state == "CALLING":
            self._follow(_room("calling").hear_result(self, reply))
        elif when == "offer" and self.state == "DISCOVERING":
            self.offer = reply
            if keeper.farewell:
                fire("farewell")
            elif not (reply.dpop_supported or self.settings.get("allow_bearer")):
                fire("fatal", "bearer_only")
            else:
                fire("usable" if keeper.usable(self.now_ms) else self.renewal())
        elif when == "needs_browser" and self.offer.get("device_authorization_endpoint") and fire("grant"):
            pass
        elif not fire(when, reply):
            # A reply that fits nowhere must not leave the device waiting for ever.
            code = when if name == "ERROR" else "internal"
            if self.more and keeper.usable(self.now_ms):
                # More was asked for, and refused: what there was before is still good for what it was good for.
                self.more = {}
                self.prompt = keeper.code_verifier = keeper.shown = None
                fire("answer", (code, False, code, True))
            else:
                fire("fatal", code)

    def _follow(self, heard):
        runtime.make_room()
        self.fire(*heard)

    def _take_key(self, key):
        fire = self.fire
        sure = self._sure
        self._sure = None
        begun = self._begun + key
        self._begun = begun if _UNPAIR.startswith(begun) or _RESET.startswith(begun) else "*" if key == "*" else ""
        if sure is not None:
            if key == "#" and self.now_ms < sure[0]:
                fire("Unpair", Event("Unpair", reset=sure[1]))
            else:
                self.effects.append(self._last)
        elif begun in (_UNPAIR, _RESET):
            if self.entry is not None:
                self.entry.wipe()
            self._sure = self.now_ms + _SURE_MS, begun == _RESET
            before = self._last
            self.show("sure_reset" if begun == _RESET else "sure")
            self._last = before
        elif self.state == "WAITING":
            self.wake_ms = self.now_ms + _IDLE_MS
            did = self.entry.press(key)
            if did != "whole":
                # A key that types nothing shows again what is there.
                if not fire(did):
                    self.effects.append(self._last)
                return
            self.answers[self.entry.wanted["name"]] = self.entry.take()
            if len(self.answers) < len(self.prompt.inputs):
                fire("next_input")
            else:
                fire(self.keyed("answered"))
        elif key == "#" and self.state == "READY" and self.want_call():
            fire(self.keyed("call"))
        elif key != "#" or not fire(self.keyed("again")):
            self.effects.append(self._last)

    def _take_tick(self):
        fire = self.fire
        talk_due = self.talk.deadline_ms
        if talk_due is not None and self.now_ms >= talk_due:
            fire("dead" if len(self.talk.requests) > 1 else "silence")
        elif self.wake_ms is not None and self.now_ms >= self.wake_ms:
            self.wake_ms = None
            if self.state == "WAITING":
                fire(self.keyed("lapsed") if self.now_ms >= self.lapses_ms else "idle", self.prompt)
            elif self.state == "READY":
                fire(self.keyed(self.renewal()))
            else:
                fire(self.keyed("poll" if self.state == "SHOWING" else "again"))

    def want_call(self):
        """The call of settings.json, made the one to do next; None: there is none."""
        call = self.settings.get("call")
        if call:
            self.call = dict(call)
        return call

    def renewal(self) -> str:
        """The word for the way to the next token, from what the device holds and what the server offers."""
        keeper = self.tokens
        if keeper.refresh_token:
            return "renew"
        if keeper.shown:
            return "shown"
        if self.offer.get("challenge_endpoint"):
            return "pair"
        return "grant" if self.offer.get("device_authorization_endpoint") else "browser"

    def keyed(self, when: str) -> str:
        return when if self.talk.keyed(self.now_ms) else "unkeyed"

    # Deeds: one for each `do` of the table. A deed returns what follows at once, or None.

    def connect(self, when, cause):
        self.want_call()
        self.show("connecting")
        if self.tokens.erasing:
            # The power went in the middle of a factory reset.
            self.effects.append(Event("Erase"))
            self.tokens.erasing = None
            self.store()
        if self.tokens.seen_s:
            # A floor, until a sealed reply tells the time.
            self.effects.append(Event("SetClock", now_s=self.tokens.seen_s, sure=False))
        self.effects.append(Event("Connect", after_ms=0))

    def reconnect(self, when, down):
        self.talk.drop()
        self.forget_answers()
        self.wake_ms = None
        self.wait_s = self._longer(_RECONNECT_S)
        reason = down.code if down.reason is None else down.code + " 0x%02x" % down.reason
        self.show("offline", reason, self.wait_s)
        self.effects.append(Event("Connect", after_ms=self.wait_s * 1000))

    def greet(self, when, cause):
        self.forget_answers()
        self.prompt = self.wake_ms = None
        self.show("connecting")
        runtime.make_room()
        self.effects.append(self.talk.greet(self.now_ms))

    def prove(self, when, cause):
        self.effects.append(self.talk.prove(self.now_ms))

    def discover(self, when, cause):
        self.show("asking")
        self.ask("DISCOVER", {})

    def keep(self, when, tokens):
        self.wait_s = 0
        self.prompt = None
        self.more = {}
        self.tokens.accept(tokens, self.now_ms)
        self.store()
        return self.settle(when, tokens)

    def settle(self, when, cause):
        self.wake_ms = self.tokens.renew_at_ms
        self.show("ready")
        return self.keyed("call") if self.call is not None else None

    def refresh(self, when, cause):
        self.show("asking")
        self.ask_signed("TOKEN", {"refresh_token": self.tokens.refresh_token}, self.offer.token_endpoint)

    def lose(self, when, cause):
        keeper = self.tokens
        keeper.refresh_token = keeper.code_verifier = None
        keeper.drop_access_token()
        self.show(when)
        return self.renewal()

    def ask_again(self, when, cause):
        self.effects.append(self.talk.ask_again(self.now_ms))

    def sign_again(self, when, cause):
        signatures = self._signatures + 1
        if signatures == _MOST_SIGNATURES:
            return "try_later"
        self.ask_signed(*self.signed)
        self._signatures = signatures

    def rest(self, when, cause):
        self.forget_answers()
        after_s = cause and cause.get("retry_after_s") or (_LOCKED_POLL_S if when == "locked" else self._longer(_BACK_OFF_S))
        self.wait_s = min(after_s, 3600)
        self.wake_ms = self.now_ms + self.wait_s * 1000
        self.show("try_later" if when == "invalid_grant" else when, self.wait_s, self.utc(self.epoch_s(self.wake_ms)))
        if when == "silence":
            self.talk.drop()

    def stop(self, when, code):
        self.forget_answers()
        self.wake_ms = None
        if code == "denied":
            # A person said no: what was asked is over, and the next attempt begins afresh.
            self.tokens.code_verifier = self.tokens.shown = None
            self.more = {}
            self.store()
        self.show("needs_browser" if when == "browser" else code)

    # What several deeds share.

    def show(self, code: str, *values, qr: str = ""):
        from latchpin.agent import prompts

        title, text = prompts.text(code, self.talk.step, self.talk.request_id, *values)
        entry = self.entry.masked() if self.entry is not None else ""
        self._last = Event("Show", code=code, title=title, text=text, entry=entry, qr=qr)
        self.effects.append(self._last)

    def store(self):
        self.effects.append(Event("Store", data=self.tokens.pack()))

    def epoch_s(self, now_ms: int) -> int:
        """What that moment is in seconds since 1970."""
        return (self._epoch_ms + now_ms) // 1000

    def utc(self, now_s: int) -> str:
        return "%02d:%02d" % (now_s // 3600 % 24, now_s // 60 % 60)

    def forget_answers(self):
        if self.entry is not None:
            self.entry.wipe()
            self.entry = None
        self.answers = {}
        self.signed = None

    def ask(self, name: str, fields: dict):
        if name[:2] != "RE":  # REVOKE and REPORT are about no resource
            fields["resource"] = self.settings.get("resource", 0)
        self.wake_ms = None
        runtime.make_room()
        self.effects.append(self.talk.ask(name, fields, self.now_ms))

    def ask_signed(self, name: str, fields: dict, uri: str):
        """A request with a DPoP proof, sent when the deed is done, and kept for signing it again with a nonce that the server
        wants. name: of a message; or "Post", with its `headers` and `body`, for a request straight to the MCP server."""
        self.signed = (name, fields, uri)
        self._signatures = 0
        self._unsent = True

    def _send(self, name, fields, uri):
        runtime.make_room()
        token = fields.get("access_token")
        proof = self._proof(uri, self.nonces[token is not None], token) if self.offer.dpop_supported else None
        if name == "Post":
            headers = fields["headers"] + ("DPoP: " + proof + "\r\n" if proof else "")
            headers += "Authorization: " + self.tokens.token_type + " " + token + "\r\n"
            runtime.make_room()
            self.effects.append(Event("Post", url=uri, headers=headers, body=fields["body"]))
            return
        if proof:
            fields["dpop"] = proof
        if self.tokens.unsaved:
            # Before the server can bind anything to them: a power cut while it answers costs nothing then.
            self.store()
        self.ask(name, fields)

    def _proof(self, uri, nonce, token):
        from latchpin.agent import dpop

        private, public = self.tokens.dpop_key()
        jti = dpop.base64url(self._random(12))
        return dpop.proof(private, public, "POST", uri, jti, self.epoch_s(self.now_ms), nonce, token)

    def _longer(self, bounds):
        # Decorrelated jitter: between the least and three times the last wait.
        least, most = bounds
        reach = max(1, min(most, max(least, self.wait_s) * 3) - least)
        return least + (self._random(1)[0] * reach + 128) // 255


# In functions of their own, so that no name keeps the module.


def _row(state, when):
    from latchpin.agent import authorization

    return authorization.row(state, when)


def _room(name):
    name = "latchpin.agent." + name
    if name not in sys.modules:
        runtime.make_room()
        __import__(name)
    return sys.modules[name]
