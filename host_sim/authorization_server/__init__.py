"""The reference authorization server: FiPA-04 with PIN, PKCE and DPoP."""
