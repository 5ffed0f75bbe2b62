"""The front door: an event in, effects out.

Not for I/O, time or chance: they come as arguments. Which deed follows which event stands in authorization.py.
"""

# What is None in which state is the table's matter (authorization.py), and a checker does not read that.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalIterable=false

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
_MOST_STEPS_UP = const(2)
_POLL_S = const(5)  # RFC 8628, section 3.5: where the server names no interval, and what slow_down adds
_SURE_MS = const(30_000)
# Keys that free the device, in any state: unpair, and a factory reset. A second "#" confirms.
_UNPAIR = const("*000#")
_RESET = const("*999#")


class Agent:
    """The mind of a device.

    identity: `.device`, `.kid`, `.private`, `.public`, `.bridges` (adapters/settings.py); settings: the dict of settings.json;
    random: bytes from a count; kept: what the journal held, or None.
    """

    def __init__(self, identity, settings: dict, random, kept: bytes | None = None):
        self._identity = identity
        self._settings = settings
        self._random = random
        self._talk = Conversation(identity, random)
        self._tokens = TokenKeeper(random)
        self.dropped = 0
        if kept is not None:
            try:
                self._tokens.unpack(kept)
            except PeerError:
                self.dropped += 1
                self._tokens.forget()
        self.state = "OFFLINE"
        self._effects = []
        self._now_ms = 0
        self._epoch_ms = 0
        self._wake_ms = None
        self._wait_s = 0
        self._nonces = [None, None]
        self._offer = None
        self._prompt = None
        self._entry = None
        self._answers = {}
        self._signed = None
        self._signatures = 0
        self._call = None
        self._server = {}
        self._more = {}
        self._brings = False
        self._begun = ""
        self._sure = None
        self._last = None

    @property
    def deadline_ms(self) -> int | None:
        """When a Tick is due, if nothing else happens before."""
        due = [at for at in (self._wake_ms, self._talk.deadline_ms) if at is not None]
        return min(due) if due else None

    def handle(self, event, now_ms: int) -> list:
        """What an event makes the device do, in order. now_ms: monotonic, never wrapping."""
        self._now_ms = now_ms
        self._effects = []
        try:
            self._take(event)
        except PeerError:
            self.dropped += 1
        effects, self._effects = self._effects, []
        return effects

    def _fire(self, when, cause=None):
        # Take the row of this state and `when`: be in the new state, then do the deed, which may name what follows at once (a
        # pending call, say). False: no row, so nothing happens.
        fired = False
        while when:
            row = _row(self.state, when)
            if not row:
                break
            fired = True
            do, be = row
            if be != ".":
                self.state = be
            when = getattr(self, do)(when, cause)
        return fired

    # Events become the words of the table.

    def _take(self, event):
        fire = self._fire
        name = event.name
        if name == "Received":
            heard, reply = self._talk.hear(event.fields.pop("payload"), self._now_ms)
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
            self._want(event)
            if self.state != "WAITING" or self._tokens.usable(self._now_ms):
                fire(self._keyed("call"))
        elif name[:4] != "Http":
            fire(name, event)
        elif self.state != "CALLING":
            pass
        elif name == "HttpFailed":
            self._finish_call("mcp_failed", event.code)
        else:
            heard = event.headers
            self._nonces[1] = heard.get("dpop-nonce", self._nonces[1])
            challenge = heard.get("www-authenticate", "")
            self._take_result(event.status, challenge, heard.get("mcp-session-id"), event.body, 0 if event.last else None)

    def _take_reply(self, reply):
        fire = self._fire
        keeper = self._tokens
        now_s = reply.now
        # `now` is authenticated, yet its source may err: the clock never goes back by more than a day.
        if now_s + 86_400 >= keeper.seen_s:
            self._epoch_ms = now_s * 1000 - self._now_ms
            keeper.seen_s = max(now_s, keeper.seen_s)
            self._effects.append(Event("SetClock", now_s=now_s, sure=True))
        self._nonces[self.state == "CALLING"] = reply.get("dpop_nonce", self._nonces[self.state == "CALLING"])
        name = reply.name
        when = name.lower()
        if name == "ERROR":
            when = CODES.split(" ")[reply.error - 1]
        if when != "use_dpop_nonce":
            self._signed = None
        if reply.get("auth_session") and when != "tokens":
            keeper.auth_session = reply.auth_session
            self._store()
        if when == "result" and self.state == "CALLING":
            following = reply.block + 1
            if following >= reply.blocks:
                following = 0
            self._take_result(reply.status, reply.get("www_authenticate", ""), reply.get("mcp_session"), reply.body, following)
        elif when == "offer" and self.state == "DISCOVERING":
            self._offer = reply
            if keeper.farewell:
                fire("farewell")
            elif not (reply.dpop_supported or self._settings.get("allow_bearer")):
                fire("fatal", "bearer_only")
            else:
                fire("usable" if keeper.usable(self._now_ms) else self._renewal())
        elif when == "needs_browser" and self._offer.get("device_authorization_endpoint") and fire("grant"):
            pass
        elif not fire(when, reply):
            # A reply that fits nowhere must not leave the device waiting for ever.
            code = when if name == "ERROR" else "internal"
            if self._more and keeper.usable(self._now_ms):
                # More was asked for, and refused: what there was before is still good for what it was good for.
                self._more = {}
                keeper.code_verifier = keeper.shown = None
                self._finish_call(code, code)
            else:
                fire("fatal", code)

    def _take_key(self, key):
        fire = self._fire
        sure = self._sure
        self._sure = None
        begun = self._begun + key
        self._begun = begun if _UNPAIR.startswith(begun) or _RESET.startswith(begun) else "*" if key == "*" else ""
        if sure is not None:
            if key == "#" and self._now_ms < sure[0]:
                fire("Unpair", Event("Unpair", reset=sure[1]))
            else:
                self._effects.append(self._last)
        elif begun in (_UNPAIR, _RESET):
            if self._entry is not None:
                self._entry.wipe()
            self._sure = self._now_ms + _SURE_MS, begun == _RESET
            before = self._last
            self.show("sure_reset" if begun == _RESET else "sure")
            self._last = before
        elif self.state == "WAITING":
            self._wake_ms = self._now_ms + _IDLE_MS
            did = self._entry.press(key)
            if did != "whole":
                # A key that types nothing shows again what is there.
                if not fire(did):
                    self._effects.append(self._last)
                return
            self._answers[self._entry.wanted["name"]] = self._entry.take()
            if len(self._answers) < len(self._prompt.inputs):
                fire("next_input")
            else:
                fire(self._keyed("answered"))
        elif key == "#" and self.state == "READY" and self._want_call():
            fire(self._keyed("call"))
        elif key != "#" or not fire(self._keyed("again")):
            self._effects.append(self._last)

    def _take_tick(self):
        fire = self._fire
        talk_due = self._talk.deadline_ms
        if talk_due is not None and self._now_ms >= talk_due:
            fire("dead" if len(self._talk.requests) > 1 else "silence")
        elif self._wake_ms is not None and self._now_ms >= self._wake_ms:
            self._wake_ms = None
            if self.state == "WAITING":
                fire(self._keyed("lapsed") if self._now_ms >= self._lapses_ms else "idle", self._prompt)
            elif self.state == "READY":
                fire(self._keyed(self._renewal()))
            else:
                fire(self._keyed("poll" if self.state == "SHOWING" else "again"))

    def _want_call(self):
        call = self._settings.get("call")
        if call:
            self._want(call)
        return call

    def _want(self, call):
        self._call = _mcp().begin(call.get("tool"), call.get("uri"), call.get("arguments"))

    def _renewal(self):
        # The way to the next token, from what the device holds and what the server offers.
        keeper = self._tokens
        if keeper.refresh_token:
            return "renew"
        if keeper.shown:
            return "shown"
        if self._offer.get("challenge_endpoint"):
            return "pair"
        return "grant" if self._offer.get("device_authorization_endpoint") else "browser"

    def _keyed(self, when):
        return when if self._talk.keyed(self._now_ms) else "unkeyed"

    # Deeds: one for each `do` of the table. A deed returns what follows at once, or None.

    def connect(self, when, cause):
        self._want_call()
        self.show("connecting")
        if self._tokens.seen_s:
            # A floor, until a sealed reply tells the time.
            self._effects.append(Event("SetClock", now_s=self._tokens.seen_s, sure=False))
        self._effects.append(Event("Connect", after_ms=0))

    def reconnect(self, when, down):
        self._talk.drop()
        self._forget_answers()
        self._wake_ms = None
        self._wait_s = self._longer(_RECONNECT_S)
        reason = down.code if down.reason is None else down.code + " 0x%02x" % down.reason
        self.show("offline", reason, self._wait_s)
        self._effects.append(Event("Connect", after_ms=self._wait_s * 1000))

    def greet(self, when, cause):
        self._forget_answers()
        self._prompt = self._wake_ms = None
        self.show("connecting")
        runtime.make_room()
        self._effects.append(self._talk.greet(self._now_ms))

    def prove(self, when, cause):
        self._effects.append(self._talk.prove(self._now_ms))

    def discover(self, when, cause):
        self.show("asking")
        self._ask("DISCOVER", {})

    def challenge(self, when, cause):
        """Begin, or learn where the auth_session stands: never with an answer."""
        keeper = self._tokens
        if self._more:
            # RFC 9470, section 5: the session that was satisfied is asked for more, and for a code of a verifier of its own.
            self._brings = True
        elif keeper.code_verifier is None:
            # What that session was for is over: its code_challenge belongs to a verifier that was redeemed.
            keeper.auth_session = None
        self._challenge({})

    def challenge_anew(self, when, cause):
        self.show("invalid_session", cause)
        self._tokens.code_verifier = self._tokens.auth_session = None
        self._challenge({})

    def lose(self, when, cause):
        keeper = self._tokens
        keeper.refresh_token = keeper.code_verifier = None
        keeper.drop_access_token()
        self.show(when, cause)
        return self._renewal()

    def authorize(self, when, cause):
        """RFC 8628, section 3.1."""
        self._tokens.shown = None
        self.show("asking")
        fields = {"scope": self._settings.get("scope", 0)}
        for name in ("more_scope", "acr_values"):
            if name in self._more:
                fields[name] = self._more[name]
        self._ask_signed("DEVICE_CODE", fields, self._offer.device_authorization_endpoint)

    def show_code(self, when, reply):
        """Section 3.3. What is shown outlives a power cut: a person may have it in hand."""
        keeper = self._tokens
        if when == "show":
            uri = reply.verification_uri
            ends_s = (self._epoch_ms + self._now_ms) // 1000 + reply.ttl_s
            complete = reply.get("verification_uri_complete", uri)
            keeper.shown = [reply.device_code, reply.user_code, uri, complete, reply.interval_s or _POLL_S, ends_s]
            self._store()
        self._wait_s = 0
        shown = keeper.shown
        self._wake_ms = self._now_ms + shown[4] * 1000
        if when != "authorization_pending" and when != "slow_down":
            self.show("user_code", shown[1], shown[2], self._utc(shown[5]), qr=shown[3])

    def slow_down(self, when, reply):
        # Section 3.5, for good; a server that is busy is given as much.
        self._tokens.shown[4] += _POLL_S
        self.show_code("slow_down", reply)

    def poll(self, when, cause):
        self._ask_signed("TOKEN", {"device_code": self._tokens.shown[0]}, self._offer.token_endpoint)

    def part(self, when, event):
        """Works without any server: what it held is gone at once, from both slots of the journal."""
        self._tokens.part(2 if event.reset else 1)
        self._forget_answers()
        self._prompt = self._call = None
        self._more = {}
        self._server = {}
        self._want_call()
        self._store()
        self._store()
        if event.reset:
            self._effects.append(Event("Erase"))
        self.show("unpaired")

    def part_and_greet(self, when, event):
        self.part(when, event)
        self.greet(when, event)

    def revoke(self, when, cause):
        """RFC 7009, where there is something to revoke, and somebody to tell."""
        farewell = self._tokens.farewell
        self.show("unpaired")
        if len(farewell) < 3 or not self._offer.get("revocation_endpoint"):
            return "result"
        self._ask("REVOKE", {"hint": farewell[1], "token": farewell[2]})

    def say_farewell(self, when, cause):
        self._ask("REPORT", {"event": self._tokens.farewell[0]})

    def begin_anew(self, when, cause):
        self._tokens.farewell = None
        self._store()
        return self._renewal()

    def ask_human(self, when, prompt):
        self._wait_s = 0
        self._forget_answers()
        if when != "asked":
            # A session that began at the token endpoint (FiPA-04, section 6.2) has had no code_challenge yet.
            self._brings = self._brings or self._tokens.code_verifier is None
            self._prompt = prompt
        self.ask_next(when, prompt)

    def ask_next(self, when, cause):
        inputs = self._prompt.inputs
        # Nothing to type: it is somebody else's turn (an approval, say). Look again when the prompt lapses.
        done = len(self._answers)
        from latchpin.agent.pin_entry import PinEntry

        self._entry = PinEntry(inputs[done] if done < len(inputs) else {"name": "", "kind": 0, "max": 0})
        if when != "idle" and when != "asked":
            self._lapses_ms = self._now_ms + self._prompt.get("ttl_s", 600) * 1000
        self._wake_ms = self._lapses_ms
        self.show_entry(when, cause)

    def show_entry(self, when, cause):
        label = self._prompt.get("message") or self._entry.wanted.get("label", "")
        word = self._prompt.get("binding_word")
        self.show("waiting", label + "; word: " + word if word else label, self._utc((self._epoch_ms + self._lapses_ms) // 1000))

    def show(self, code, *values, qr=""):
        from latchpin.agent import prompts

        title, text = prompts.text(code, self._talk.step, self._talk.request_id, *values)
        entry = self._entry.masked() if self._entry is not None else ""
        self._last = Event("Show", code=code, title=title, text=text, entry=entry, qr=qr)
        self._effects.append(self._last)

    def answer(self, when, cause):
        answers = self._answers
        self._forget_answers()
        self._challenge({"answers": answers})

    def say_refusal(self, when, reply):
        self.ask_next(when, reply)
        self.show(when, reply.get("tries_left", 0))

    def redeem(self, when, code):
        self._prompt = None
        self._brings = False
        fields = {"code": code.code, "code_verifier": self._tokens.code_verifier}
        self._ask_signed("TOKEN", fields, self._offer.token_endpoint)

    def keep(self, when, tokens):
        self._wait_s = 0
        self._prompt = None
        self._more = {}
        self._tokens.accept(tokens, self._now_ms)
        self._store()
        return self.settle(when, tokens)

    def settle(self, when, cause):
        self._wake_ms = self._tokens.renew_at_ms
        self.show("ready")
        return self._keyed("call") if self._call is not None else None

    def refresh(self, when, cause):
        self.show("asking")
        self._ask_signed("TOKEN", {"refresh_token": self._tokens.refresh_token}, self._offer.token_endpoint)

    def call(self, when, cause):
        self._forget_answers()
        self.show("calling", self._call["name"] or self._call["method"])
        self.send_call(when, cause)

    def report(self, when, answer):
        code, ok, text, whole = answer
        self._call = None
        self._wake_ms = self._tokens.renew_at_ms
        self.show(code, text)
        self._effects.append(Event("Answer", ok=ok, text=text, whole=whole))
        return "asked" if self._prompt is not None else None

    def ask_again(self, when, cause):
        self._effects.append(self._talk.ask_again(self._now_ms))

    def sign_again(self, when, cause):
        signatures = self._signatures + 1
        if signatures == _MOST_SIGNATURES:
            return "try_later"
        if self._signed is None:
            self.send_call(when, cause)
        else:
            self._ask_signed(*self._signed)
        self._signatures = signatures

    def rest(self, when, cause):
        self._forget_answers()
        after_s = cause and cause.get("retry_after_s") or (_LOCKED_POLL_S if when == "locked" else self._longer(_BACK_OFF_S))
        self._wait_s = min(after_s, 3600)
        self._wake_ms = self._now_ms + self._wait_s * 1000
        until = self._utc((self._epoch_ms + self._wake_ms) // 1000)
        self.show("try_later" if when == "invalid_grant" else when, self._wait_s, until)
        if when == "silence":
            self._talk.drop()

    def stop(self, when, code):
        self._forget_answers()
        self._wake_ms = None
        if code == "denied":
            # A person said no: what was asked is over, and the next attempt begins afresh.
            self._tokens.code_verifier = self._tokens.shown = None
            self._more = {}
            self._store()
        self.show("needs_browser" if when == "browser" else code)

    # What several deeds share.

    def _utc(self, at_s):
        return "%02d:%02d" % (at_s // 3600 % 24, at_s // 60 % 60)

    def _longer(self, bounds):
        # Decorrelated jitter: between the least and three times the last wait.
        least, most = bounds
        reach = max(1, min(most, max(least, self._wait_s) * 3) - least)
        return least + (self._random(1)[0] * reach + 128) // 255

    def _forget_answers(self):
        if self._entry is not None:
            self._entry.wipe()
            self._entry = None
        self._answers = {}
        self._signed = None

    def _challenge(self, fields):
        keeper = self._tokens
        fields["scope"] = self._settings.get("scope", 0)
        fields.update(self._more)
        if keeper.auth_session is None or keeper.code_verifier is None or self._brings:
            fields["code_challenge"] = keeper.code_challenge()
        if keeper.auth_session is not None:
            fields["auth_session"] = keeper.auth_session
        self.show("asking")
        self._ask_signed("CHALLENGE", fields, self._offer.challenge_endpoint)

    def _ask(self, name, fields):
        if name[:2] != "RE":  # REVOKE and REPORT are about no resource
            fields["resource"] = self._settings.get("resource", 0)
        self._wake_ms = None
        runtime.make_room()
        self._effects.append(self._talk.ask(name, fields, self._now_ms))

    def _ask_signed(self, name, fields, uri):
        """A request with a DPoP proof; kept for signing it again with a nonce that the server wants."""
        self._signed = (name, fields, uri)
        self._signatures = 0
        if self._offer.dpop_supported:
            token = fields.get("access_token")
            fields["dpop"] = self._proof(uri, self._nonces[token is not None], token)
        self._ask(name, fields)

    def _proof(self, uri, nonce, token=None):
        runtime.make_room()
        from latchpin.agent import dpop

        private, public = self._tokens.dpop_key()
        iat = (self._epoch_ms + self._now_ms) // 1000
        jti = dpop.base64url(self._random(12))
        return dpop.proof(private, public, "POST", uri, jti, iat, nonce, token)

    def send_call(self, when, cause):
        """The next POST of the call: by the bridge's relay, or straight."""
        mcp = _mcp()
        token = self._tokens.access_token
        uri = self._offer.resource_uri
        body = mcp.body(self._server, self._call)
        if self._settings.get("route") == "direct":
            headers = mcp.headers(self._server, self._call)
            mcp = None
            if self._offer.dpop_supported:
                headers += "DPoP: " + self._proof(uri, self._nonces[1], token) + "\r\n"
            # There is one: a call has a token.
            headers += "Authorization: " + self._tokens.token_type + " " + token + "\r\n"  # pyright: ignore[reportOperatorIssue]
            self._signed = None
            self._signatures = 0
            runtime.make_room()
            self._effects.append(Event("Post", url=uri, headers=headers, body=body))
            return
        if not self._offer.dpop_supported:
            # Whoever relays a bearer token could use it (PROTOCOL section 5): straight over HTTPS only.
            self._finish_call("mcp_refused", "nothing: no bearer by relay")
            return
        fields = mcp.relayed(self._server, self._call)
        mcp = None
        fields["body"] = body
        fields["access_token"] = token
        fields["block"] = 0
        self._call["sent"] = fields
        self._ask_signed("CALL", fields, uri)

    def send_block(self, when, block):
        # The same call, so that the bridge finds its answer. The server hears nothing of it, so there is nothing to prove.
        fields = self._call["sent"]
        fields.pop("dpop", None)
        fields["block"] = block
        self._ask("CALL", fields)

    def _take_result(self, status, challenge, session, piece, following):
        # following: the block to ask for next, 0 after the last, None where more comes by itself.
        mcp = _mcp()
        call = self._call
        try:
            word, fresh = mcp.hear(self._server, call, status, challenge, session, piece, following == 0)
            if word == "said":
                text, whole = mcp.text(call)
        except PeerError:
            self._finish_call("mcp_failed", "not MCP")
            return
        mcp = None
        if fresh:
            self._effects.append(Event("Part", data=bytes(fresh)))
        if word == "block":
            if following:
                self._fire("block", following)
        elif word == "said":
            self._fire("answer", ("answer", not call["reader"]["failed"], text, whole))
        elif word == "renew" and not call.get("renewed"):
            # One new token for a refused one; a second refusal is the answer.
            call["renewed"] = True
            self._tokens.drop_access_token()
            self._fire(self._renewal())
        elif word == "step_up" and call.get("steps", 0) < _MOST_STEPS_UP:
            call["steps"] = call.get("steps", 0) + 1
            self._step_up(call["wanted"])
        elif word in ("go", "use_dpop_nonce"):
            self._fire(word)
        else:
            self._finish_call("mcp_refused", str(status))

    def _step_up(self, wanted):
        # MCP authorization, step-up flow: the union of scopes; RFC 9470, section 4: acr_values and max_age as they came.
        self.show("step_up")
        more = {}
        if wanted.get("scope"):
            more["more_scope"] = wanted["scope"]
        if wanted.get("acr_values"):
            more["acr_values"] = wanted["acr_values"]
        if wanted.get("max_age", "").isdigit():
            more["max_age"] = int(wanted["max_age"])
        self._more = more
        self._fire("pair" if self._offer.get("challenge_endpoint") else "grant")

    def _finish_call(self, code, why):
        self._fire("answer", (code, False, why, True))

    def _store(self):
        self._effects.append(Event("Store", data=self._tokens.pack()))


# In functions of their own, so that no name keeps the module.


def _mcp():
    from latchpin.agent import mcp

    return mcp


def _row(state, when):
    from latchpin.agent import authorization

    return authorization.row(state, when)
