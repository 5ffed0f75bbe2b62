"""Deeds of a pairing by challenge (FiPA-04): ask the server what it wants of the human, ask the human, answer, redeem.

Not the state (authorization.py), nor what a person reads (prompts.py).
"""


def challenge(agent, when, cause):
    """Begin, or learn where the auth_session stands: never with an answer."""
    keeper = agent.tokens
    if agent.more:
        # RFC 9470, section 5: the session that was satisfied is asked for more, and for a code of a verifier of its own.
        agent.brings = True
    elif keeper.code_verifier is None:
        # What that session was for is over: its code_challenge belongs to a verifier that was redeemed.
        keeper.auth_session = None
    _challenge(agent, {})


def challenge_anew(agent, when, cause):
    agent.show("invalid_session")
    agent.tokens.code_verifier = agent.tokens.auth_session = None
    _challenge(agent, {})


def ask_human(agent, when, prompt):
    agent.wait_s = 0
    agent.forget_answers()
    if when != "asked":
        # A session that began at the token endpoint (FiPA-04, section 6.2) has had no code_challenge yet.
        agent.brings = agent.brings or agent.tokens.code_verifier is None
        agent.prompt = prompt
    ask_next(agent, when, prompt)


def ask_next(agent, when, cause):
    inputs = agent.prompt.inputs
    # Nothing to type: it is somebody else's turn (an approval, say). Look again when the prompt lapses.
    done = len(agent.answers)
    from latchpin.agent.pin_entry import PinEntry

    agent.entry = PinEntry(inputs[done] if done < len(inputs) else {"name": "", "kind": 0, "max": 0})
    if when != "idle" and when != "asked":
        agent.lapses_ms = agent.now_ms + agent.prompt.get("ttl_s", 600) * 1000
    agent.wake_ms = agent.lapses_ms
    show_entry(agent, when, cause)


def show_entry(agent, when, cause):
    text = agent.prompt.get("message") or agent.entry.wanted.get("label", "")
    word = agent.prompt.get("binding_word")
    agent.show("waiting", text + "; word: " + word if word else text, agent.utc(agent.epoch_s(agent.lapses_ms)))


def say_entry(agent, when, cause):
    agent.show(when)


def say_refusal(agent, when, reply):
    ask_next(agent, when, reply)
    agent.show(when, reply.get("tries_left", 0))


def answer(agent, when, cause):
    answers = agent.answers
    agent.forget_answers()
    _challenge(agent, {"answers": answers})


def redeem(agent, when, code):
    agent.prompt = None
    agent.brings = False
    fields = {"code": code.code, "code_verifier": agent.tokens.code_verifier}
    agent.ask_signed("TOKEN", fields, agent.offer.token_endpoint)


def _challenge(agent, fields):
    keeper = agent.tokens
    fields["scope"] = agent.settings.get("scope", 0)
    fields.update(agent.more)
    if keeper.auth_session is None or keeper.code_verifier is None or agent.brings:
        fields["code_challenge"] = keeper.code_challenge()
    if keeper.auth_session is not None:
        fields["auth_session"] = keeper.auth_session
    agent.show("asking")
    agent.ask_signed("CHALLENGE", fields, agent.offer.challenge_endpoint)
