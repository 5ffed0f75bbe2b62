"""THE table where OAuth's words and the device's words meet: a request becomes a form, an answer becomes a reply.

Not for sending. What an AS names in its own way comes from its profile; whatever stands in neither is refused, never guessed.
"""

import functools
import re
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from broker_bridge import oauth_api
from broker_bridge.oauth_api import Answer, AuthorizationServerMetadata
from broker_bridge.profile import Profile
from broker_bridge.refusals import Refused
from broker_bridge.settings import Resource
from broker_bridge.tables import Inputs
from latchpin.wire import bridge_side
from latchpin.wire.bridge_side import CHECKS, INPUT_KINDS, NUMBERS
from latchpin.wire.messages import Message

_Words = TypeVar("_Words", bound=oauth_api.Words)

_limit = functools.cache(bridge_side.limit)
# Within these nothing needs to be counted byte by byte: a character has 4 at most (RFC 3629).
_short = functools.cache(lambda field: bridge_side.limit(field) // 4)

ASK = "ask"
MOST_LABEL = 40
MOST_KNOWN, MOST_TEXT = 256, 2048
_CHECK_NUMBERS = {None: None, **{check: number for number, check in enumerate(CHECKS)}}
RETRY_S = 10
DEFAULT_TTL_S = 300  # where a token answer has no expires_in (RFC 6749, section 5.1: RECOMMENDED)

ENDPOINTS = {"CHALLENGE": "challenge", "TOKEN": "token", "DEVICE_CODE": "device_authorization", "REVOKE": "revocation"}

# Error code of the AS (RFC 6749, 4.1.2.1 and 5.2; FiPA-04, 5.2.2.1; RFC 7009, 8628, 8707, 9449): code for the device.
ERRORS = {
    "insufficient_authorization": ASK,
    "redirect_to_web": "needs_browser",
    "invalid_session": "invalid_session",
    "invalid_grant": "invalid_grant",
    "access_denied": "denied",
    "invalid_scope": "denied",
    "unauthorized_client": "not_first_party",
    "invalid_request": "invalid",
    "invalid_dpop_proof": "invalid",
    "use_dpop_nonce": "use_dpop_nonce",
    "expired_token": "expired",
    "authorization_pending": "authorization_pending",
    "slow_down": "slow_down",
    "temporarily_unavailable": "try_later",
    "server_error": "try_later",
    "invalid_client": "internal",
    "invalid_target": "internal",
    "unsupported_response_type": "internal",
    "unsupported_grant_type": "internal",
    "unsupported_token_type": "internal",
}
# An error code belongs to some requests only; elsewhere it is as strange as an unknown one.
ONLY = {
    "redirect_to_web": ("CHALLENGE",),
    "invalid_session": ("CHALLENGE",),
    "invalid_grant": ("TOKEN",),
    "expired_token": ("TOKEN",),
    "authorization_pending": ("TOKEN",),
    "slow_down": ("TOKEN",),
    "insufficient_authorization": ("CHALLENGE", "TOKEN"),
}

_FORMS_OF = {
    "auth_session": r"[\x20-\x7e]+",
    "code": r"[\x20-\x7e]+",
    "refresh_token": r"[\x20-\x7e]+",
    "device_code": r"[\x20-\x7e]+",
    "token": r"[\x20-\x7e]+",
    "code_challenge": r"[A-Za-z0-9_-]{43}",  # RFC 7636, section 4.2, with S256
    "code_verifier": r"[A-Za-z0-9._~-]{43,128}",  # RFC 7636, section 4.1
    "acr_values": r"[\x21-\x7e]+( [\x21-\x7e]+)*",
    "dpop": r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",  # RFC 7515, section 7.1
}
# What the bridge hands out as auth_session while the AS has not been asked yet: the device's own code_challenge comes back in it,
# so that nothing is kept here.
BEGIN = "begin."
_BEGUN = re.compile(re.escape(BEGIN) + "(" + _FORMS_OF["code_challenge"] + ")")
_SHAPES = {name: re.compile(form) for name, form in _FORMS_OF.items()}


class Ask(NamedTuple):
    """A form for one endpoint of the AS: client authentication is added by as_client.py. Holds secrets: does not print."""

    endpoint: str
    form: dict[str, str]
    proof: str | None

    def __repr__(self) -> str:
        return f"Ask({self.endpoint})"


class Told(NamedTuple):
    """A reply of the device's language, and a word for the log where the answer was not what was hoped for."""

    message: Message
    why: str | None = None


def checked(message: Message, name: str) -> str | None:
    """The text of a field, of the form that its RFC gives it, or None where it is absent. Raises Refused."""
    text = message.fields.get(name)
    if text is not None and not _SHAPES[name].fullmatch(text):
        raise Refused("invalid", f"form_of_{name}")
    return text


def resource_of(message: Message, resources: list[Resource]) -> Resource:
    """The resource that the device names by its index. Raises Refused."""
    number = message["resource"]
    if number >= len(resources):
        raise Refused("invalid", "resource_index")
    return resources[number]


def to_ask(message: Message, device: str, client_id: str, resources: list[Resource], profile: Profile) -> Ask:
    """What the AS is asked for a CHALLENGE, TOKEN, DEVICE_CODE or REVOKE.

    device: the id that the session proved. Raises Refused: not a request that could be right.
    """
    form = _FORMS[message.name](message, client_id, resources, profile)
    for name in profile.omit:
        form.pop(name, None)
    named = profile.challenge.device_parameter
    if named and message.name in ("CHALLENGE", "DEVICE_CODE"):
        form[named] = device
    return Ask(ENDPOINTS[message.name], form, checked(message, "dpop"))


def begin(message: Message, profile: Profile) -> Told | None:
    """What a device is asked before the AS is, where the AS wants answers in its first request already. Raises Refused."""
    if message.name != "CHALLENGE" or not profile.challenge.begin:
        return None
    challenge = checked(message, "code_challenge") if message.get("auth_session") is None else _begun(message, profile)
    if challenge is None or message.get("answers"):
        return None
    inputs = [_input(item, profile) for item in profile.challenge.begin]
    return Told(_reply("PROMPT", message, {"auth_session": BEGIN + challenge, "inputs": inputs}))


def _begun(message: Message, profile: Profile) -> str | None:
    """The code_challenge of a session that the AS does not know yet."""
    found = _BEGUN.fullmatch(message.get("auth_session") or "") if profile.challenge.begin else None
    return found[1] if found else None


def _challenge(message: Message, client_id: str, resources: list[Resource], profile: Profile) -> dict[str, str]:
    said = {"client_id": client_id, **_scope_and_resource(message, resources)}
    spoken, answers = profile.challenge, message.fields.get("answers") or {}
    auth_session, challenge = checked(message, "auth_session"), _begun(message, profile)
    if auth_session is None or challenge is not None:
        challenge = challenge or checked(message, "code_challenge")
        if spoken.begin and not answers.keys() >= {item.name for item in spoken.begin}:
            raise Refused("invalid", "answer_missing")
        if challenge is None:
            raise Refused("invalid", "no_code_challenge")
        own = {"code_challenge": challenge, "code_challenge_method": "S256"}
        form = {**_step_up(message), **spoken.every, **spoken.first, **said, **own}
    else:
        form = {**spoken.every, **{name: said[name] for name in spoken.repeat}, "auth_session": auth_session}
        if message.get("code_challenge") is not None:
            # The session began at the token endpoint (FiPA-04, section 6.2), or is asked for more than it gave (section 7).
            own = {"code_challenge": checked(message, "code_challenge") or "", "code_challenge_method": "S256"}
            wider = {"scope": said["scope"]} if message.get("more_scope") else {}
            form = {**_step_up(message), **form, **wider, **own}
    for name, text in answers.items():
        shape = profile.answers.get(name)
        if shape is None:
            raise Refused("invalid", "answer_name")
        if not re.fullmatch(shape, text) or not text.isprintable():
            raise Refused("invalid", "answer_form")
        form[name] = text
    return form


def _token(message: Message, client_id: str, resources: list[Resource], profile: Profile) -> dict[str, str]:
    grants = {
        "code": "authorization_code",
        "refresh_token": "refresh_token",
        "device_code": "urn:ietf:params:oauth:grant-type:device_code",
    }
    given = [name for name in grants if message.get(name) is not None]
    verifier = checked(message, "code_verifier")
    if len(given) != 1 or (verifier is None) == (given == ["code"]):
        raise Refused("invalid", "grant")
    form = {"grant_type": grants[given[0]], given[0]: checked(message, given[0]) or "", "client_id": client_id}
    if verifier is not None:
        form["code_verifier"] = verifier
    return {**form, "resource": resource_of(message, resources).uri}


def _device_code(message: Message, client_id: str, resources: list[Resource], profile: Profile) -> dict[str, str]:
    return {"client_id": client_id, **_scope_and_resource(message, resources), **_step_up(message)}


def _revoke(message: Message, client_id: str, resources: list[Resource], profile: Profile) -> dict[str, str]:
    hint = ("access_token", "refresh_token")[message["hint"]]
    return {"client_id": client_id, "token": checked(message, "token") or "", "token_type_hint": hint}


_FORMS = {"CHALLENGE": _challenge, "TOKEN": _token, "DEVICE_CODE": _device_code, "REVOKE": _revoke}


def _scope_and_resource(message: Message, resources: list[Resource]) -> dict[str, str]:
    resource, number = resource_of(message, resources), message["scope"]
    if number >= len(resource.scopes):
        raise Refused("invalid", "scope_index")
    scopes = resource.scopes[number]
    more = message.get("more_scope")
    return {"scope": _wider(scopes, more, resource) if more else scopes, "resource": resource.uri}


def _wider(scopes: str, more: str, resource: Resource) -> str:
    # A resource server's challenge (RFC 6750, section 3.1) adds to what was asked before, as far as this list goes.
    known = {scope for listed in resource.scopes for scope in listed.split()}
    return " ".join(dict.fromkeys([*scopes.split(), *(scope for scope in more.split() if scope in known)]))


def _step_up(message: Message) -> dict[str, str]:
    """RFC 9470, section 4."""
    wanted = checked(message, "acr_values")
    found = {} if wanted is None else {"acr_values": wanted}
    return found if message.get("max_age") is None else {**found, "max_age": str(message["max_age"])}


def offer(message: Message, metadata: AuthorizationServerMetadata, endpoints: dict[str, str], resource: Resource) -> Message:
    """The OFFER: where the device's proofs go to (htu), and what the AS can do. Raises Refused."""
    if "S256" not in metadata.code_challenge_methods_supported:
        raise Refused("internal", "as_without_s256")
    fields: dict[str, Any] = {
        "issuer": metadata.issuer,
        "token_endpoint": endpoints["token"],
        "resource_uri": resource.uri,
        "dpop_supported": "ES256" in metadata.dpop_signing_alg_values_supported,
    }
    for endpoint in ("challenge", "device_authorization", "revocation"):
        if endpoint in endpoints:
            fields[f"{endpoint}_endpoint"] = endpoints[endpoint]
    return _reply("OFFER", message, fields)


def to_told(message: Message, answer: Answer, profile: Profile) -> Told:
    """What the device is told. Raises Refused: an answer that stands neither here nor in the profile."""
    if 200 <= answer.status < 300:
        return Told(_granted(message, answer))
    if answer.status == 429 or answer.status >= 500:
        return _error(message, "try_later", f"as_{answer.status}", retry_after_s=answer.retry_after_s or RETRY_S)
    if answer.status not in (400, 401, 403):
        raise Refused("internal", f"as_{answer.status}")
    refusal, op = _words(oauth_api.Refusal, answer), message.name
    error = refusal.error
    code = profile.errors.get(error) if op == "CHALLENGE" else None
    if op in ONLY["insufficient_authorization"] and error in [ask.error for ask in profile.asks]:
        code = ASK
    if code is None and (error not in ONLY or op in ONLY[error]):
        code = ERRORS.get(error)
    if code is None:
        raise Refused("internal", "as_error_unknown")
    if code == ASK:
        return _asked(message, answer, refusal, profile)
    why = error if error in ERRORS else "as_error_of_profile"
    return _refusal(message, code, why, answer, refusal, profile)


def _granted(message: Message, answer: Answer) -> Message:
    if message.name == "CHALLENGE":
        challenged = _words(oauth_api.Challenged, answer)
        return _reply("CODE", message, {"code": challenged.authorization_code, "auth_session": challenged.auth_session})
    if message.name == "TOKEN":
        tokens = _words(oauth_api.Tokens, answer)
        names = {"dpop": "DPoP", "bearer": "Bearer"}
        if tokens.token_type.lower() not in names:
            raise Refused("internal", "token_type")
        fields = {
            "access_token": tokens.access_token,
            "token_type": names[tokens.token_type.lower()],
            "ttl_s": DEFAULT_TTL_S if tokens.expires_in is None else tokens.expires_in,
            "refresh_token": tokens.refresh_token,
            "granted_scope": tokens.scope,
            "auth_session": tokens.auth_session,
        }
        return _reply("TOKENS", message, fields)
    if message.name == "DEVICE_CODE":
        shown = _words(oauth_api.DeviceAuthorization, answer)
        fields = {
            "device_code": shown.device_code,
            "user_code": shown.user_code,
            "verification_uri": shown.verification_uri,
            "verification_uri_complete": shown.verification_uri_complete,
            "interval_s": shown.interval,
            "ttl_s": shown.expires_in,
        }
        return _reply("SHOW", message, fields)
    return done(message)


def event_of(message: Message) -> str:
    """The word for what a REPORT tells, for the log: who unpairs a device wants to find it there."""
    return bridge_side.EVENTS[message["event"]] if message["event"] < len(bridge_side.EVENTS) else "event_unknown"


def done(message: Message) -> Message:
    """The reply to a request that has nothing to tell: REVOKE (RFC 7009, section 2.2) and REPORT."""
    return _reply("RESULT", message, {"status": 200, "body": b"", "block": 0, "blocks": 1})


def _asked(message: Message, answer: Answer, refusal: oauth_api.Refusal, profile: Profile) -> Told:
    members, content = profile.members, answer.content
    reason = content.get(members.reason) if members.reason else None
    code = ASK if reason is None else profile.reasons.get(reason) if isinstance(reason, str) else None
    if code is None:
        raise Refused("internal", "as_reason_unknown")
    if code != ASK:
        return _refusal(message, code, code, answer, refusal, profile)
    known = None if _begun(message, profile) else message.get("auth_session")
    auth_session = refusal.auth_session or known
    if auth_session is None or (profile.challenge.begin and auth_session.startswith(BEGIN)):
        raise Refused("internal", "as_without_auth_session")
    inputs = _inputs(refusal.error, content, profile)
    ttl_s = _number(content.get(members.ttl), "ttl_s")
    if not inputs:
        # A person acts elsewhere: the prompt lapses when the device is to look again.
        ttl_s = _number(content.get(members.retry_after), "retry_after_s") or answer.retry_after_s or RETRY_S
    fields = {
        "auth_session": auth_session,
        "inputs": inputs,
        # A device shows one line: of several inputs, what each is called says more than what is said of all.
        "message": _text(content.get(members.message), "message") if len(inputs) < 2 else None,
        "tries_left": _number(content.get(members.tries_left), "tries_left"),
        "ttl_s": ttl_s,
        "binding_word": _text(content.get(members.binding_word), "binding_word"),
    }
    return Told(_reply("PROMPT", message, fields))


def _inputs(error: str, content: dict[str, Any], profile: Profile) -> list[dict[str, Any]]:
    listed = content.get(profile.members.inputs) if profile.members.inputs else None
    if listed is None:
        wanted = [item for ask in profile.asks if ask.wanted(error, content) for item in ask.inputs]
        if not wanted:
            raise Refused("internal", "as_asks_nothing_known")
        return [_input(item, profile) for item in wanted]
    # An AS lists the same few again and again. Their text, unlike ==, tells 1 from true.
    text = repr(listed)
    known = profile.inputs_by_text.get(text)
    if known is None:
        if not isinstance(listed, list) or len(listed) > _limit("inputs"):
            raise Refused("internal", "as_inputs")
        try:
            wanted = oauth_api.INPUTS.validate_python(listed)
        except ValidationError:
            raise Refused("internal", "as_inputs") from None
        known = Inputs([_input(item, profile) for item in wanted])
        if len(profile.inputs_by_text) < MOST_KNOWN and len(text) <= MOST_TEXT:
            profile.inputs_by_text[text] = known
    return known


def _input(item: oauth_api.Input, profile: Profile) -> dict[str, Any]:
    if item.name not in profile.answers:
        raise Refused("internal", "as_input_name_unknown")
    if item.kind not in INPUT_KINDS or item.check not in _CHECK_NUMBERS:
        raise Refused("internal", "as_input_kind_unknown")
    fields = {
        "name": item.name,
        "kind": INPUT_KINDS.index(item.kind),
        "min": item.min,
        "max": item.max,
        "check": _CHECK_NUMBERS[item.check],
        "label": _cut(item.label, MOST_LABEL),
        "choices": item.choices and [_cut(choice, bridge_side.MAX_CHOICE) or "?" for choice in item.choices],
    }
    return {name: value for name, value in fields.items() if value is not None}


def _refusal(message: Message, code: str, why: str, answer: Answer, refusal: oauth_api.Refusal, profile: Profile) -> Told:
    retry_after_s = _number(answer.content.get(profile.members.retry_after), "retry_after_s") or answer.retry_after_s
    if code == "try_later":
        retry_after_s = retry_after_s or RETRY_S
    tries_left = _number(answer.content.get(profile.members.tries_left), "tries_left") if code == "wrong_answer" else None
    return _error(message, code, why, auth_session=refusal.auth_session, tries_left=tries_left, retry_after_s=retry_after_s)


def refused(message: Message, refusal: Refused) -> Told:
    """The ERROR for a request that ended in `refusal`."""
    return _error(message, refusal.code, refusal.why, retry_after_s=refusal.retry_after_s)


def _error(message: Message, code: str, why: str, **fields: Any) -> Told:
    return Told(_reply("ERROR", message, {"error": NUMBERS[code], **fields}), why)


def _reply(name: str, message: Message, fields: dict[str, Any]) -> Message:
    kept = {"rid": message.fields["rid"]}
    for field, value in fields.items():
        if value is not None:
            if type(value) is str and len(value) > _short(field) and len(value.encode()) > _limit(field):
                raise Refused("internal", f"as_too_long_{field}")
            kept[field] = value
    return Message(name, kept)


def _words(model: type[_Words], answer: Answer) -> _Words:
    try:
        return model.model_validate(answer.content)
    except ValidationError:
        raise Refused("internal", "as_words") from None


def _number(value: object, field: str) -> int | None:
    return min(value, _limit(field)) if type(value) is int and value >= 0 else None


def _text(value: object, field: str) -> str | None:
    return _cut(value, _limit(field)) if isinstance(value, str) else None


def _cut(text: str | None, most_bytes: int) -> str | None:
    if text is None:
        return None
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    shown = text.strip()
    if len(shown) * 4 > most_bytes:
        shown = shown.encode()[:most_bytes].decode(errors="ignore")
    return shown or None
