"""AES-CCM (RFC 3610, NIST SP 800-38C): one ECB call makes the key stream, one CBC call the MAC.

Not a keeper of nonces: that one never comes twice under a key is wire/session.py's care.
"""

from latchpin import runtime

_MAX_BYTES = 0xFFFF


def pure_encrypt(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, tag_length: int) -> bytes:
    """Ciphertext || tag. Key of 16 or 32 bytes, nonce of 7 to 13, tag of 4 to 16 (even), plaintext of at most 65,535.

    Raises ValueError: a length is outside.
    """
    stream = _stream(key, nonce, len(plaintext))
    return _xor(plaintext, stream[16:]) + _xor(_mac(key, nonce, plaintext, aad, tag_length), stream)


def pure_decrypt(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes, tag_length: int) -> bytes:
    """The plaintext of `ciphertext` (ciphertext || tag).

    Raises ValueError: the tag is wrong, or a length is outside.
    """
    size = len(ciphertext) - tag_length
    if size < 0:
        raise ValueError("ccm tag")
    stream = _stream(key, nonce, size)
    plaintext = _xor(ciphertext[:size], stream[16:])
    tag = _xor(_mac(key, nonce, plaintext, aad, tag_length), stream)
    # All bytes are compared, so that time does not tell how many agree.
    different = 0
    for i in range(tag_length):
        different |= tag[i] ^ ciphertext[size + i]
    if different:
        raise ValueError("ccm tag")
    return plaintext


def _stream(key, nonce, size):
    if not 7 <= len(nonce) <= 13 or size > _MAX_BYTES:
        raise ValueError("ccm length")
    # Counter blocks A_0.. (RFC 3610, section 2.3); 65,535 bytes never count beyond the last two bytes.
    blocks = bytearray((bytes([14 - len(nonce)]) + nonce + bytes(15 - len(nonce))) * (1 + (size + 15) // 16))
    for i in range(len(blocks) // 16):
        blocks[16 * i + 14] = i >> 8
        blocks[16 * i + 15] = i & 255
    return runtime.aes_ecb(key, blocks)


def _mac(key, nonce, plaintext, aad, tag_length):
    # B_0 || length of aad || aad || plaintext, each padded with zeros (RFC 3610, section 2.2).
    if tag_length not in (4, 6, 8, 10, 12, 14, 16) or len(aad) >= 0xFF00:
        raise ValueError("ccm length")
    field = 15 - len(nonce)
    head = bytes([(0x40 if aad else 0) + (tag_length - 2) // 2 * 8 + field - 1]) + nonce + len(plaintext).to_bytes(field, "big")
    if aad:
        head += len(aad).to_bytes(2, "big") + aad
        head += bytes(-len(head) % 16)
    return runtime.aes_cbc(key, head + plaintext + bytes(-len(plaintext) % 16))[-16:][:tag_length]


def _xor(data, stream):
    size = len(data)
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream[:size], "big")).to_bytes(size, "big")


_engine = runtime.host_engine
encrypt = _engine.ccm_encrypt if _engine else pure_encrypt
decrypt = _engine.ccm_decrypt if _engine else pure_decrypt
