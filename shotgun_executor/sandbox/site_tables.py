"""The tables of a site beside those of its entities; they do not depend on its schema.

* ``site_setting``: credentials, and the schema if it was imported.
* ``site_session``: session tokens, kept across a restart.
* ``site_field``: the fields that were created, changed or deleted since the site was made.
* ``site_visibility``: in which projects custom fields are hidden.
* ``site_personal``: the values of fields that differ from user to user.
* ``site_file``: where the bytes of attachments are.
* ``site_follow``, ``site_workday``, ``site_subscription``: who follows what, exceptions from the
  working week, subscriptions of users.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, Text


class SiteTables:
    """The tables of every site."""

    def __init__(self) -> None:
        self._metadata = MetaData()
        self.every: list[Table] = []
        self.settings = self._table(
            "site_setting",
            Column("name", Text, primary_key=True),
            Column("value", Text, nullable=False),
        )
        self.sessions = self._table(
            "site_session",
            Column("token_digest", Text, primary_key=True),
            Column("user_type", Text, nullable=False),
            Column("user_id", Integer, nullable=False),
            Column("expires_at", Float),
        )
        self.fields = self._table(
            "site_field",
            Column("entity_type", Text, primary_key=True),
            Column("name", Text, primary_key=True),
            Column("spec", Text, nullable=False),
        )
        self.visibility = self._table(
            "site_visibility",
            Column("project_id", Integer, primary_key=True, autoincrement=False),
            Column("entity_type", Text, primary_key=True),
            Column("name", Text, primary_key=True),
            Column("visible", Integer, nullable=False),
        )
        self.personal = self._personal()
        self.files = self._table(
            "site_file",
            Column("attachment_id", Integer, primary_key=True, autoincrement=False),
            Column("key", Text, nullable=False, index=True),
            Column("name", Text, nullable=False),
            Column("content_type", Text, nullable=False),
            Column("size", Integer, nullable=False),
        )
        self.follows = self._follows()
        self.workdays = self._table(
            "site_workday",
            Column("scope", Text, primary_key=True),
            Column("scope_id", Integer, primary_key=True, autoincrement=False),
            Column("date", Text, primary_key=True),
            Column("working", Integer, nullable=False),
            Column("description", Text),
        )
        self.subscriptions = self._table(
            "site_subscription",
            Column("user_id", Integer, primary_key=True, autoincrement=False),
            Column("value", Text, nullable=False),
        )

    def _personal(self) -> Table:
        return self._table(
            "site_personal",
            Column("entity_type", Text, primary_key=True),
            Column("entity_id", Integer, primary_key=True, autoincrement=False),
            Column("field", Text, primary_key=True),
            Column("user_type", Text, primary_key=True),
            Column("user_id", Integer, primary_key=True, autoincrement=False),
            Column("value", Text),
        )

    def _follows(self) -> Table:
        table = self._table(
            "site_follow",
            Column("user_type", Text, primary_key=True),
            Column("user_id", Integer, primary_key=True, autoincrement=False),
            Column("entity_type", Text, primary_key=True),
            Column("entity_id", Integer, primary_key=True, autoincrement=False),
        )
        Index("site_follow_entity", table.c.entity_type, table.c.entity_id)
        return table

    def _table(self, name: str, *columns: Column[object]) -> Table:
        table = Table(
            name, self._metadata, *columns, sqlite_with_rowid=False, implicit_returning=False
        )
        self.every.append(table)
        return table
