"""Each example against a site that counts."""
