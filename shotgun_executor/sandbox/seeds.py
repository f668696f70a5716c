"""What a new site holds: its users, statuses, pipeline steps, permission groups, one storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import dates
from .passwords import hash_password
from .tables import folded

if TYPE_CHECKING:
    from .rows import Rows
    from .schema import Schema

STEPS: tuple[tuple[str, str, str, str], ...] = (
    ("Asset", "Art", "ART", "155,191,91"),
    ("Asset", "Model", "MDL", "105,148,201"),
    ("Asset", "Rig", "RIG", "202,142,84"),
    ("Asset", "Texture", "TXT", "193,109,156"),
    ("Shot", "Layout", "LAY", "120,160,180"),
    ("Shot", "Animation", "ANM", "203,176,88"),
    ("Shot", "FX", "FX", "196,87,76"),
    ("Shot", "Lighting", "LGT", "226,209,118"),
    ("Shot", "Comp", "CMP", "98,167,120"),
)
"""Pipeline steps: entity type, name, short code, colour."""

_RULES = (
    ("ApiUser", "api_admin", "API Admin"),
    ("HumanUser", "admin", "Admin"),
    ("HumanUser", "manager", "Manager"),
    ("HumanUser", "artist", "Artist"),
)


class Seeds:
    """Fills a new site.

    Args:
        schema: For the names of statuses.
        rows: Writes the rows.
    """

    def __init__(self, schema: Schema, rows: Rows) -> None:
        self._schema = schema
        self._rows = rows

    def plant(self, script: tuple[str, str], human: tuple[str, str]) -> None:
        """Writes the rows of a new site, inside the caller's transaction.

        Args:
            script: Name and key of the script user.
            human: Login and password of the person.
        """
        for entity_type, code, name in _RULES:
            row = {"entity_type": entity_type, "code": code, "display_name": name}
            self._add("PermissionRuleSet", name, row)
        self._add_users(script, human)
        for order, (code, name) in enumerate(self._schema.status_names.items(), 1):
            self._add("Status", name, {"code": code, "name": name, "list_order": order})
        for order, (entity_type, name, short, color) in enumerate(STEPS, 1):
            step: dict[str, Any] = {
                "code": name,
                "short_name": short,
                "color": color,
                "list_order": order,
            }
            self._add("Step", name, {**step, "entity_type": entity_type})
        roots = {"linux_path": "/mnt/projects", "mac_path": "/Volumes/projects"}
        storage = {"code": "primary", **roots, "windows_path": "P:\\projects"}
        self._add("LocalStorage", "primary", storage)

    def renew(self, script: tuple[str, str], human: tuple[str, str]) -> None:
        """Gives the first two users of an old file the credentials of today."""
        name, key = script
        row = {"firstname": name, folded("firstname"): name.casefold(), "sg_status_list": "act"}
        self._rows.update("ApiUser", 1, {**row, "salted_password": hash_password(key)})
        self._rows.rename("ApiUser", 1, name)
        login, password = human
        row = {"login": login, folded("login"): login.casefold(), "sg_status_list": "act"}
        self._rows.update("HumanUser", 1, {**row, "password_proxy": hash_password(password)})
        for entity_type in ("ApiUser", "HumanUser"):
            self._rows.set_retired(entity_type, 1, retired=False)

    def _add_users(self, script: tuple[str, str], human: tuple[str, str]) -> None:
        rules = {"permission_rule_set__type": "PermissionRuleSet", "permission_rule_set__id": 1}
        name, key = script
        row: dict[str, Any] = {"firstname": name, "salted_password": hash_password(key), **rules}
        self._add("ApiUser", name, {**row, "sg_status_list": "act"})
        login, password = human
        full_name = login.replace(".", " ").title()
        first, _, last = full_name.partition(" ")
        row = {"login": login, "name": full_name, "firstname": first, "lastname": last or None}
        row.update(rules, permission_rule_set__id=2, password_proxy=hash_password(password))
        self._add("HumanUser", full_name, {**row, "sg_status_list": "act"})

    def _add(self, entity_type: str, name: str, row: dict[str, Any]) -> None:
        columns: dict[str, Any] = {}
        now = dates.write_time(dates.utc_now())
        columns.update(created_at=now, updated_at=now)
        fields = self._schema.every[entity_type].stored
        for column, value in row.items():
            columns[column] = value
            if column in fields and fields[column].is_folded:
                columns[folded(column)] = value and value.casefold()
        self._rows.name(entity_type, self._rows.insert(entity_type, columns), name)
