"""crypto/ccm.py works in place; tests like values better.

Not a third engine: `how` is one of those under test.
"""


def encrypted(how, key, nonce, plaintext, aad, tag_length):
    """ciphertext || tag"""
    text = bytearray(plaintext + bytes(tag_length))
    how(key, nonce, text, aad, tag_length)
    return bytes(text)


def decrypted(how, key, nonce, ciphertext, aad, tag_length):
    """The plaintext. Where it is refused, nothing has changed."""
    text = bytearray(ciphertext)
    try:
        how(key, nonce, text, aad, tag_length)
    except ValueError:
        assert text == ciphertext
        raise
    return bytes(text[: len(text) - tag_length])
