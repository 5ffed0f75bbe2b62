"""What every room of the AS needs, in one hand: settings, keys, storage, clients, accounts, nonces, metrics, and the clock.

Not for decisions.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from host_sim.authorization_server.accounts import Accounts
from host_sim.authorization_server.clients import Clients
from host_sim.authorization_server.dpop import Nonces
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.metrics import Metrics
from host_sim.authorization_server.settings import Settings
from host_sim.authorization_server.storage import Storage


def _epoch_s() -> int:
    return int(time.time())


@dataclass(frozen=True)
class Services:
    settings: Settings
    keys: Keys
    storage: Storage
    clients: Clients
    nonces: Nonces
    accounts: Accounts
    metrics: Metrics = field(default_factory=Metrics)
    now_s: Callable[[], int] = _epoch_s


def open_services(settings: Settings) -> Services:
    """Opens the state directory, and makes keys and database on first start.

    Raises ConfigurationError, OSError.
    """
    keys = Keys(settings.state)
    storage = Storage(settings.state / "state.sqlite")
    nonces = Nonces(keys, settings.dpop_nonce_ttl_s)
    return Services(settings, keys, storage, Clients(settings.clients, storage), nonces, Accounts(storage, _epoch_s))
