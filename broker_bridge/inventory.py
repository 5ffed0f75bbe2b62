"""The registry of those who have an inventory already: one HTTPS GET a device, kept for at most a minute.

Not a second registry: nothing is written, and MQTT passwords are between inventory and broker.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broker_bridge.https_client import HttpsClient, json_object
from broker_bridge.refusals import Refused
from broker_bridge.registry import Device, Key, RegistryError, checked

RETRY_S = 5  # after a failure, where nothing is known
MOST_ASKED_AT_ONCE = 64
MOST_KNOWN = 100_000


class _Key(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    kid: int
    public: Annotated[str, Field(pattern="^[0-9a-fA-F]{128}$")]


class _Entry(BaseModel):
    """What the inventory answers with 200; other members are left aside. 404: no such device."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    device: str
    keys: list[_Key]
    alias: str = ""
    revoked: bool = False


class _Known(NamedTuple):
    device: Device | None
    until_s: float
    soon_s: float  # when to ask again ahead of time


class Inventory:
    """`{url}/{device}` asked with `https`, and with `token` as bearer where there is one. `clock` counts seconds.

    What it said is believed for `ttl_s`, be it yes or no. While it cannot be reached, a device of which nothing is known may not
    speak, and one that is known may until its `ttl_s` are over. `on_asked` is told the device after each answer.
    """

    def __init__(
        self, url: str, token: str | None, ttl_s: float, https: HttpsClient, clock: Callable[[], float], log: Callable[..., None]
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._ttl_s = ttl_s
        self._https = https
        self._clock = clock
        self._log = log
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self.on_asked: Callable[[str], None] = lambda device: None
        self._room = asyncio.Semaphore(MOST_ASKED_AT_ONCE)

    def get(self, device: str) -> Device | None:
        """The device if it may speak, as far as is known; None if it is unknown or revoked, or nobody has asked lately."""
        known = self._known.get(device)
        found = known.device if known is not None and self._clock() < known.until_s else None
        return None if found is None or found.revoked else found

    def all(self) -> list[Device]:
        """The devices of which something is known."""
        return [known.device for known in self._known.values() if known.device is not None]

    def reload(self) -> bool:
        """False: whatever changes here changes by `ask`."""
        return False

    def ask_ahead(self, device: str) -> bool:
        """False where `device` must be asked for before it is heard. Where it need not be yet but soon, that is begun."""
        known, now_s = self._known.get(device), self._clock()
        if known is None or now_s >= known.until_s:
            return False
        if known.device is not None and now_s >= known.soon_s:
            self._begin(device)
        return True

    async def ask(self, device: str) -> None:
        """Asks the inventory; what `get` then gives is of now. Raises nothing: a failure is logged, and is no yes."""
        await asyncio.shield(self._begin(device))

    async def close(self) -> None:
        await self._https.close()

    def _begin(self, device: str) -> asyncio.Task[None]:
        asking = self._asking.get(device)
        if asking is None:
            asking = self._asking[device] = asyncio.ensure_future(self._ask(device))
            asking.add_done_callback(lambda _: self._asking.pop(device, None))
        return asking

    async def _ask(self, device: str) -> None:
        now_s = self._clock()
        try:
            async with self._room:
                known = _Known(await self.fetched(device), now_s + self._ttl_s, now_s + self._ttl_s / 2)
        except Refused as refusal:
            self._log("registry", logging.ERROR, device=device, outcome="unreachable", code=refusal.why)
            before = self._known.get(device)
            if before is not None and before.device is not None and now_s < before.until_s:
                return
            known = _Known(None, now_s + RETRY_S, now_s + RETRY_S)
        self._known.pop(device, None)
        while len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[device] = known
        self.on_asked(device)

    async def fetched(self, device: str) -> Device | None:
        """What the inventory says of `device` now, kept nowhere. Raises Refused."""
        fetched = await self._https.fetch("GET", f"{self._url}/{quote(device, safe='')}", self._headers)
        if fetched.status == 404:
            return None
        if fetched.status != 200:
            raise Refused("try_later", f"inventory_{fetched.status}")
        return device_of(json_object(fetched), device)


def device_of(content: dict[str, Any], device: str) -> Device:
    """The entry for `device` in an inventory's answer. Raises Refused: not an entry, or another device's."""
    try:
        entry = _Entry.model_validate(content)
        keys = tuple(Key(key.kid, bytes.fromhex(key.public)) for key in entry.keys)
        found = checked(Device(entry.device, entry.alias, keys, "", entry.revoked), password=False)
    except (ValidationError, RegistryError):
        raise Refused("internal", "inventory_words") from None
    if found.device != device:
        raise Refused("internal", "inventory_device")
    return found
