"""Passwords, keys and tokens as the site keeps them: hashed."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def hash_password(password: str) -> str:
    """Returns a salted hash to store in place of a password.

    The hash is a fast one: the sandbox checks a password at every call, and what it protects are
    throw-away secrets of a test site.
    """
    salt = secrets.token_hex(8)
    return f"{salt}${_digest(salt + password)}"


def is_password(password: str, stored: object) -> bool:
    """Says whether a password is the one that was hashed into `stored`."""
    if not isinstance(stored, str) or "$" not in stored:
        return False
    salt, digest = stored.split("$", 1)
    return hmac.compare_digest(digest, _digest(salt + password))


def token_digest(token: str) -> str:
    """Returns what is stored in place of a session token."""
    return _digest(token)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
