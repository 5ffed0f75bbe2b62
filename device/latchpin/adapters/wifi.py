"""Wi-Fi: joins the strongest of the networks that it was given, and joins again when it is lost.

Not for decisions: the agent learns of an outage from the link, not from here.
"""

import asyncio

JOIN_S = 15
PAUSE_S = 2


class Wifi:
    """networks: [{"ssid", "password"}, ...] as in settings.json; hostname: what the network is told; wlan: a network.WLAN.

    The radio is on when this returns: without it an ESP32 has no true random numbers.
    """

    def __init__(self, networks: list, hostname: str, wlan=None):
        if wlan is None:
            import network

            network.hostname(hostname)
            wlan = network.WLAN(network.STA_IF)
        self._networks = networks
        self._wlan = wlan
        wlan.active(True)

    def __repr__(self):
        return "Wifi(" + str(len(self._networks)) + " networks)"

    async def keep(self) -> None:
        """Stay joined, for ever."""
        while True:
            if not self._wlan.isconnected():
                for network in self.nearest():
                    if await self.join(network):
                        break
            await asyncio.sleep(PAUSE_S)

    def nearest(self) -> list:
        """The networks it was given: those in sight, the strongest first; then the others, which may hide their names.

        The scan blocks for about 2 s.
        """
        strength = {}
        try:
            for found in self._wlan.scan():
                ssid = found[0].decode()
                strength[ssid] = max(found[3], strength.get(ssid, -1000))
        except (OSError, ValueError):
            pass
        return sorted(self._networks, key=lambda network: -strength.get(network["ssid"], -1000))

    async def join(self, network: dict) -> bool:
        """Try this one, for JOIN_S at most; True when joined."""
        try:
            self._wlan.disconnect()
            self._wlan.connect(network["ssid"], network.get("password"))
            for _ in range(JOIN_S * 10):
                if self._wlan.isconnected():
                    break
                await asyncio.sleep(0.1)
            return self._wlan.isconnected()
        except OSError:
            return False  # the radio says "Internal State Error" while it is still busy: next round
