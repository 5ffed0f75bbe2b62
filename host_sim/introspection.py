"""Whether a token was revoked: asked of its issuer (RFC 7662), and believed for half a minute at most.

Not the issuer's answer (authorization_server/introspection.py), nor what a token says of itself (access_tokens.py).
"""

import asyncio
import dataclasses
import hashlib
import time
from collections.abc import Callable
from urllib.parse import quote_plus

from broker_bridge import logs
from host_sim.access_tokens import TokenError
from host_sim.issuer import NO_ANSWER, BadStatus, Issuer, IssuerUnreachable

MAX_BELIEVED_S = 30
MAX_ANSWERS = 10_000
WITHIN_S, ASK_AGAIN_S = 5, 1


@dataclasses.dataclass(frozen=True)
class _Answer:
    active: bool
    until_s: float


class Introspection:
    """Asks with the credentials of a resource server, once for however many requests present a token at the same time.

    An answer is believed for `believed_s` from when it was asked for, "inactive" as well as "active". Without one there is no
    verdict: an issuer that is away lets nobody in for longer, and is left alone for ASK_AGAIN_S.
    """

    def __init__(
        self,
        issuer: Issuer,
        client_id: str,
        client_secret: str,
        believed_s: float = MAX_BELIEVED_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        # RFC 6749, section 2.3.1: both halves of HTTP Basic are form-encoded.
        self._issuer, self._auth = issuer, (quote_plus(client_id), quote_plus(client_secret))
        self._believed_s, self._now_s = min(believed_s, MAX_BELIEVED_S), now_s
        self._answers: dict[bytes, _Answer] = {}
        self._questions: dict[bytes, asyncio.Task[_Answer | None]] = {}
        self._endpoint = ""
        self._silent_until_s = float("-inf")

    async def demand_active(self, token: str) -> None:
        """Raises TokenError: the issuer calls it inactive; IssuerUnreachable: nothing is known of it now."""
        digest = hashlib.sha256(token.encode()).digest()
        answer = self._answers.get(digest)
        if answer is None or answer.until_s <= self._now_s():
            answer = await self._asked(digest, token)
        if answer is None:
            raise IssuerUnreachable
        if not answer.active:
            raise TokenError("not active any more")

    async def _asked(self, digest: bytes, token: str) -> _Answer | None:
        question = self._questions.get(digest)
        if question is None:
            if self._now_s() < self._silent_until_s:
                return None
            question = self._questions[digest] = asyncio.create_task(self._ask(digest, token))
            question.add_done_callback(lambda _: self._questions.pop(digest))
        # A caller who goes away takes the question from nobody else.
        return await asyncio.shield(question)

    async def _ask(self, digest: bytes, token: str) -> _Answer | None:
        asked_s = self._now_s()
        try:
            async with asyncio.timeout(WITHIN_S):
                self._endpoint = self._endpoint or await self._issuer.endpoint("introspection_endpoint")
                form = {"token": token, "token_type_hint": "access_token"}
                active = (await self._issuer.post(self._endpoint, form, self._auth))["active"]
                if not isinstance(active, bool):
                    raise ValueError("no verdict")
        except (*NO_ANSWER, TimeoutError) as error:
            status = error.status if isinstance(error, BadStatus) else None
            logs.line("introspection", outcome="failed", error=type(error).__name__, status=status)
            self._endpoint, self._silent_until_s = "", self._now_s() + ASK_AGAIN_S
            return None
        answer = _Answer(active, asked_s + self._believed_s)
        self._remember(digest, answer)
        return answer

    def _remember(self, digest: bytes, answer: _Answer) -> None:
        # In the order of their questions, so those that end first stand first.
        self._answers.pop(digest, None)
        while self._answers and (oldest := next(iter(self._answers))):
            if len(self._answers) < MAX_ANSWERS and self._answers[oldest].until_s > self._now_s():
                break
            del self._answers[oldest]
        self._answers[digest] = answer
