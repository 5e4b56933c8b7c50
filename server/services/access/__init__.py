"""AccessService: identities and tokens."""
