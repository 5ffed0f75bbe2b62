"""AES-CCM, HKDF and P-256: primitives, no protocol."""
