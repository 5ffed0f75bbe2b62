"""AES-CCM (RFC 3610, NIST SP 800-38C): one ECB call makes the key stream, one CBC call the MAC.

Not a keeper of nonces: that one never comes twice under a key is wire/session.py's care.
"""

from latchpin import runtime


def pure_encrypt(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, tag_length: int) -> bytes:
    """Ciphertext || tag. Key of 16 or 32 bytes, nonce of 7 to 13, tag of 4 to 16 (even), plaintext to 65,535, aad to 65,279.

    Raises ValueError: a length is outside.
    """
    _check(nonce, len(plaintext), aad, tag_length)
    return _crypt(key, nonce, plaintext, _mac(key, nonce, plaintext, aad, tag_length))


def pure_decrypt(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes, tag_length: int) -> bytes:
    """The plaintext of `ciphertext` (ciphertext || tag).

    Raises ValueError: the tag is wrong, or a length is outside.
    """
    size = len(ciphertext) - tag_length
    _check(nonce, size, aad, tag_length)
    opened = _crypt(key, nonce, memoryview(ciphertext)[:size], ciphertext[size:])
    plaintext = opened[:size]
    # All bytes are compared, so that time does not tell how many agree.
    different = 0
    for ours, theirs in zip(_mac(key, nonce, plaintext, aad, tag_length), opened[size:]):
        different |= ours ^ theirs
    if different:
        raise ValueError("ccm tag")
    return plaintext


def _check(nonce, size, aad, tag_length):
    if size < 0:
        raise ValueError("ccm tag")
    if not 7 <= len(nonce) <= 13 or size > 0xFFFF or len(aad) >= 0xFF00 or tag_length not in (4, 6, 8, 10, 12, 14, 16):
        raise ValueError("ccm length")


def _crypt(key, nonce, text, tag):
    # text XOR S_1 S_2 ... || tag XOR S_0 (RFC 3610, sections 2.3 and 2.4), in one buffer: a chip has few holes of 4 KB.
    head = bytes([14 - len(nonce)]) + nonce
    size = len(text)
    stream = bytearray(32 + (size + 15) // 16 * 16)
    for at in range(0, len(stream), 16):
        stream[at : at + len(head)] = head
        stream[at + 14] = at >> 12
        stream[at + 15] = at >> 4 & 255
    runtime.aes_ecb(key, stream)
    _xor(stream, 16, text)
    end = 16 + size
    stream[end : end + len(tag)] = tag
    _xor(stream, end, stream[: len(tag)])
    return bytes(memoryview(stream)[16 : end + len(tag)])


def _xor(buffer, at, data):
    for i in range(0, len(data), 256):
        part = data[i : i + 256]
        size = len(part)
        both = int.from_bytes(buffer[at + i : at + i + size], "big") ^ int.from_bytes(part, "big")
        buffer[at + i : at + i + size] = both.to_bytes(size, "big")


def _mac(key, nonce, text, aad, tag_length):
    # B_0 || length of aad || aad || text, each part filled up with zeros (RFC 3610, section 2.2).
    field = 15 - len(nonce)
    size = len(text)
    head = bytes([(0x40 if aad else 0) + (tag_length - 2) // 2 * 8 + field - 1]) + nonce + size.to_bytes(field, "big")
    if aad:
        head += len(aad).to_bytes(2, "big") + aad
    start = (len(head) + 15) // 16 * 16
    blocks = bytearray(start + (size + 15) // 16 * 16)
    blocks[: len(head)] = head
    blocks[start : start + size] = text
    runtime.aes_cbc(key, blocks)
    return bytes(memoryview(blocks)[-16:])[:tag_length]


_engine = runtime.host_engine
encrypt = _engine.ccm_encrypt if _engine else pure_encrypt
decrypt = _engine.ccm_decrypt if _engine else pure_decrypt
