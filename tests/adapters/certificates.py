"""Certificates good and bad, made with `trustme` and `cryptography`.

Not for tests: what must become of each stands in test_tls.py.
"""

import datetime
import hashlib
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Leaf:
    """A certificate with its chain and key; `.pin` is what settings.json would hold."""

    def __init__(self, certificate_pem: bytes, key_pem: bytes, directory: Path, name: str):
        self.certificate = directory / f"{name}.pem"
        self.certificate.write_bytes(certificate_pem)
        self.key = directory / f"{name}.key"
        self.key.write_bytes(key_pem)
        leaf = x509.load_pem_x509_certificate(certificate_pem)
        self.pin = hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Certificates:
    """One CA whose DER file is `.ca`, and the leaves that a server can show."""

    def __init__(self, ca: trustme.CA, directory: Path):
        self._ca = ca
        self._directory = directory
        self.ca = self._der("ca", ca)
        self.ca_pem = directory / "ca.pem"
        ca.cert_pem.write_to_path(self.ca_pem)
        self.good = self._leaf("good", ca, "localhost")
        self.again = self._leaf("again", ca, "localhost")
        self.other_name = self._leaf("other_name", ca, "elsewhere.example")
        self.other_ca = self._leaf("other_ca", trustme.CA(), "localhost")
        now = datetime.datetime.now(datetime.UTC)
        self.expired = self._leaf("expired", ca, "localhost", not_before=now - 9 * _DAY, not_after=now - _DAY)
        self.future = self._leaf("future", ca, "localhost", not_before=now + 7000 * _DAY, not_after=now + 7001 * _DAY)
        self.self_signed = self._self_signed(now)

    def _der(self, name: str, ca: trustme.CA) -> str:
        path = self._directory / f"{name}.der"
        path.write_bytes(x509.load_pem_x509_certificate(ca.cert_pem.bytes()).public_bytes(serialization.Encoding.DER))
        return str(path)

    def _leaf(self, name: str, ca: trustme.CA, host: str, **validity: datetime.datetime) -> Leaf:
        issued = ca.issue_cert(host, **validity)
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        return Leaf(chain, issued.private_key_pem.bytes(), self._directory, name)

    def _self_signed(self, now: datetime.datetime) -> Leaf:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Leaf(certificate.public_bytes(pem), key_pem, self._directory, "self_signed")
