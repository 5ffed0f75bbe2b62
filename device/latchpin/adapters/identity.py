"""Who a device is, as its agent and its link see it.

Not for files: settings.py reads and writes those, and can be dropped from a small heap when that is done.
"""

import binascii


class Identity:
    """Who this device is. device: its id; kid: bytes; private: 32 bytes; public: x || y, 64 bytes; mqtt_password: text;
    bridges: [(kid, public), ...], current and next. Prints no secret."""

    def __init__(self, device: str, kid: bytes, private: bytes, public: bytes, mqtt_password: str, bridges: list):
        self.device = device
        self.kid = kid
        self.private = private
        self.public = public
        self.mqtt_password = mqtt_password
        self.bridges = bridges

    def enrolment(self) -> str:
        """DEVICE KID PUBLICHEX MQTTPASSWORD: for the serial line to the person who enrols, and nowhere else."""
        return " ".join((self.device, str(self.kid[0]), binascii.hexlify(self.public).decode(), self.mqtt_password))
