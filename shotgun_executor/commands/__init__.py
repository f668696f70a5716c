"""What ``shotgun-executor`` does, a module for each of its commands; see ``__main__.py``."""

from __future__ import annotations
