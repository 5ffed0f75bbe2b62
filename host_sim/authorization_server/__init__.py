"""The reference authorization server: FiPA-04 with PIN, PKCE and DPoP.

Not for a site of strangers: it serves first-party clients on its own list, and registers nobody by itself.
"""
