"""Finding, trying and remembering a Wi-Fi network: for the wizard on a PC (`latchpin flash --wifi`) and for improv_serial.py.

Not for staying joined: that is wifi.py.
"""

import json
import os

from latchpin.adapters.settings import SETTINGS
from latchpin.adapters.wifi import Wifi


class WifiSetup:
    """hostname: what the network is told; wlan: a network.WLAN; directory: where settings.json is."""

    def __init__(self, hostname: str, wlan=None, directory: str = "."):
        if wlan is None:
            import network

            network.hostname(hostname)
            wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        self._hostname = hostname
        self._wlan = wlan
        self._path = directory + "/" + SETTINGS
        self.networks = []  # those in settings.json, once one was tried and kept

    @property
    def joined(self) -> bool:
        return self._wlan.isconnected()

    def scan(self) -> list:
        """[(ssid, dBm, whether it wants a password)] of those in sight, each name once, the strongest first. About 2 s."""
        best = {}
        try:
            seen = self._wlan.scan()
        except OSError:
            seen = ()
        for found in seen:
            try:
                ssid = found[0].decode()
            except ValueError:
                continue
            if ssid and found[3] > best.get(ssid, (-1000,))[0]:
                best[ssid] = found[3], bool(found[4])
        return sorted([(ssid, best[ssid][0], best[ssid][1]) for ssid in best], key=lambda found: -found[1])

    async def try_and_keep(self, ssid: str, password: str) -> bool:
        """Join, and only if that works write it to settings.json. For 15 s at most."""
        network = {"ssid": ssid}
        if password:
            network["password"] = password
        if not await Wifi([network], self._hostname, self._wlan).join(network):
            return False
        with open(self._path) as file:
            found = json.load(file)
        self.networks = found["wifi"] = [network] + [other for other in found.get("wifi", ()) if other.get("ssid") != ssid]
        # Whole or not at all.
        with open(self._path + ".tmp", "w") as file:
            json.dump(found, file)
        os.rename(self._path + ".tmp", self._path)
        return True
