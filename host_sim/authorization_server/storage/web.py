"""What goes by way of a browser: pushed requests, consents, device grants; and clients that the console line added.

Not for codes and tokens that come of it: grants.py.
"""

from host_sim.authorization_server.storage.rows import AddedClient, DeviceGrant, PushedRequest
from host_sim.authorization_server.storage.tables import Tables


class Web(Tables):
    # Clients

    def add_client(self, client: AddedClient) -> bool:
        """False: a client of this id is there."""
        if self.added_client(client.id):
            return False
        self._insert(client)
        return True

    def added_client(self, client: str) -> AddedClient | None:
        return self._one(AddedClient, "id = ?", client)

    def added_clients(self) -> list[AddedClient]:
        return self._all(AddedClient, "1 ORDER BY id")

    # Pushed authorization requests (RFC 9126)

    def push(self, pushed: PushedRequest) -> None:
        self._insert(pushed)

    def pushed(self, digest: bytes, client_id: str, now: int) -> PushedRequest | None:
        return self._one(PushedRequest, "digest = ? AND client_id = ? AND expires > ?", digest, client_id, now)

    def count_pushed(self, client_id: str, now: int) -> int:
        found = self._execute("SELECT COUNT(*) FROM pushed_requests WHERE client_id = ? AND expires > ?", (client_id, now))
        return found.fetchone()[0]

    def end_pushed(self, digest: bytes) -> None:
        self._execute("DELETE FROM pushed_requests WHERE digest = ?", (digest,))

    # Consents

    def remember_consent(self, account: str, client_id: str, resource: str, scopes: list[str], now: int) -> None:
        rows = [(account, client_id, resource, scope, now) for scope in scopes]
        for row in rows:
            self._execute("INSERT OR REPLACE INTO consents VALUES (?, ?, ?, ?, ?)", row)

    def consented(self, account: str, client_id: str, resource: str) -> set[str]:
        """The scopes of this resource that this account gave to this client before."""
        found = self._execute(
            "SELECT scope FROM consents WHERE account = ? AND client_id = ? AND resource = ?", (account, client_id, resource)
        )
        return {row[0] for row in found}

    def forget_consents(self, account: str, client_id: str) -> None:
        self._execute("DELETE FROM consents WHERE account = ? AND client_id = ?", (account, client_id))

    # Device grants (RFC 8628)

    def add_device_grant(self, grant: DeviceGrant) -> None:
        self._insert(grant)

    def device_grant(self, digest: bytes) -> DeviceGrant | None:
        return self._one(DeviceGrant, "digest = ?", digest)

    def device_grant_showing(self, user_code: bytes, now: int) -> DeviceGrant | None:
        """The one of this user code, while nobody decided."""
        return self._one(DeviceGrant, "user_code = ? AND expires > ? AND approved IS NULL", user_code, now)

    def count_device_grants(self, client_id: str, now: int) -> int:
        """Those that wait for a person."""
        found = self._execute(
            "SELECT COUNT(*) FROM device_grants WHERE client_id = ? AND expires > ? AND approved IS NULL", (client_id, now)
        )
        return found.fetchone()[0]

    def end_waiting_device_grants(self, device: str, now: int) -> None:
        """A device that asks anew shows another code now."""
        self._execute(
            "UPDATE device_grants SET expires = ? WHERE device = ? AND asserted = 1 AND approved IS NULL AND expires > ?",
            (now, device, now),
        )

    def end_device_grants(self, device: str, now: int) -> None:
        """Those too that were approved and wait to be fetched."""
        self._execute(
            "UPDATE device_grants SET expires = ? WHERE device = ? AND asserted = 1 AND expires > ?", (now, device, now)
        )

    def poll_device_grant(self, digest: bytes, not_before: int, interval_s: int) -> None:
        self._execute(
            "UPDATE device_grants SET not_before = ?, interval_s = ? WHERE digest = ?", (not_before, interval_s, digest)
        )

    def decide_device_grant(self, digest: bytes, approved: bool, account: str, auth_time: int) -> None:
        self._execute(
            "UPDATE device_grants SET approved = ?, account = ?, auth_time = ? WHERE digest = ? AND approved IS NULL",
            (approved, account, auth_time, digest),
        )

    def use_device_grant(self, digest: bytes, family: str) -> None:
        self._execute("UPDATE device_grants SET family = ? WHERE digest = ?", (family, digest))
