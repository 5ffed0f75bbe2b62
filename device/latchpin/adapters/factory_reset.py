"""Factory reset, as far as files go: the networks that the device knows. Its identity, its servers and their CA files stay.

Not the tokens: what the journal keeps, and when this is done or done again after a power cut, is agent/parting.py's. Nor the
radio, which forgets when the device starts again.
"""

import json
import os


def forget_networks(directory: str = ".") -> None:
    """Whole or not at all, whenever the power goes. Raises OSError: flash full."""
    path = directory + "/settings.json"
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
        del found["wifi"]
    except (OSError, ValueError, LookupError, TypeError):
        return  # none there
    with open(path + ".tmp", "wb") as file:
        file.write(json.dumps(found).encode())
    os.rename(path + ".tmp", path)
