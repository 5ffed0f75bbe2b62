"""What a board does that knows no network, on its serial line. Runs on MicroPython, for test_improv.py.

Not a chip: `network` is tests/adapters/simulated/network.py.
"""

import asyncio

from latchpin.adapters import wifi
from latchpin.adapters.improv_serial import serve
from latchpin.adapters.wifi_setup import WifiSetup

wifi.JOIN_S = 0
networks = asyncio.run(serve(WifiSetup("lp-test"), "lp-test"))
print("known: " + str([network["ssid"] for network in networks]))
