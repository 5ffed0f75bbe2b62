"""AES-CCM (RFC 3610, NIST SP 800-38C) in place and by pieces: a chip has few holes of 2 KB.

Not a keeper of nonces: that one never comes twice under a key is wire/session.py's care.
"""

from latchpin import runtime
from latchpin.runtime import const

_PIECE = const(256)


def pure_encrypt(key: bytes, nonce: bytes, text: bytearray | memoryview, aad: bytes, tag_length: int):
    """`text` (bytearray, or memoryview of one) is a plaintext and room for the tag; it becomes ciphertext || tag.

    Key of 16 or 32 bytes, nonce of 7 to 13, tag of 4 to 16 (even), plaintext to 65,535, aad to 65,279.
    Raises ValueError: a length is outside.
    """
    text, tag = _parts(nonce, text, aad, tag_length)
    tag[:] = _mac(key, nonce, text, aad, tag_length)
    _crypt(key, nonce, text, tag)


def pure_decrypt(key: bytes, nonce: bytes, text: bytearray | memoryview, aad: bytes, tag_length: int):
    """`text` is ciphertext || tag; the ciphertext becomes the plaintext, what follows it is of no use.

    Raises ValueError: the tag is wrong, or a length is outside; then `text` is as it was.
    """
    text, tag = _parts(nonce, text, aad, tag_length)
    _crypt(key, nonce, text, tag)
    # All bytes are compared, so that time does not tell how many agree.
    different = 0
    for ours, theirs in zip(_mac(key, nonce, text, aad, tag_length), tag):
        different |= ours ^ theirs
    if different:
        _crypt(key, nonce, text, tag)
        raise ValueError("tag")


def xor(one: bytes, other: bytes) -> bytes:
    """Of two byte strings of the same length."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _parts(nonce, text, aad, tag_length):
    size = len(text) - tag_length
    if size < 0:
        raise ValueError("tag")
    if not 7 <= len(nonce) <= 13 or size > 0xFFFF or len(aad) >= 0xFF00 or tag_length not in (4, 6, 8, 10, 12, 14, 16):
        raise ValueError("length")
    text = memoryview(text)
    return text[:size], text[size:]


def _crypt(key, nonce, text, tag):
    # tag XOR S_0, text XOR S_1 S_2 ... (RFC 3610, sections 2.3 and 2.4). The counter never needs more than two bytes.
    cipher = runtime.aes(key, 1)
    start = bytes((14 - len(nonce),)) + nonce + bytes(13 - len(nonce))
    counter = 0
    part = tag
    while part:
        stream = bytearray()
        for _ in range(0, len(part), 16):
            stream.extend(start)
            stream.extend(counter.to_bytes(2, "big"))
            counter += 1
        cipher.encrypt(stream, stream)
        part[:] = xor(part, stream[: len(part)])
        part = text[:_PIECE]
        text = text[_PIECE:]


def _mac(key, nonce, text, aad, tag_length):
    # B_0 || length of aad || aad || text, each part filled up with zeros (RFC 3610, section 2.2).
    field = 15 - len(nonce)
    head = bytes([(0x40 if aad else 0) + (tag_length - 2) // 2 * 8 + field - 1]) + nonce + len(text).to_bytes(field, "big")
    if aad:
        head += len(aad).to_bytes(2, "big") + aad
    cipher = runtime.aes(key, 2, bytes(16))
    for part in (head, text):
        for at in range(0, len(part), _PIECE):
            blocks = bytearray(part[at : at + _PIECE])
            blocks.extend(bytes(-len(blocks) % 16))
            cipher.encrypt(blocks, blocks)
    return bytes(blocks[-16:])[:tag_length]  # pyright: ignore[reportPossiblyUnboundVariable]  (the head is never empty)


encrypt = runtime.fastest(pure_encrypt)
decrypt = runtime.fastest(pure_decrypt)
