"""Additional filter presets: LATEST with its variants, and CUT_SHOT_VERSIONS.

Names, parameters and meaning are those of the official client's docs. Those say that presets and
filters are joined with AND, but also that the cut with the highest revision number is that of the
set that the filters leave. So the latest version or published file of an entity is the latest of
all, whatever the filters say; for cuts the filters count first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from sqlalchemy import func, select, tuple_

from .faults import Fault, ruby_text
from .relations import any_row, constant, number
from .tables import link_id, link_type
from .wire import is_hash, is_integer, is_list

if TYPE_CHECKING:
    from sqlalchemy.sql.expression import FromClause

    from .predicates import Take
    from .schema import Schema
    from .tables import Tables

Conditions = Callable[["FromClause"], list[Any]]

_CREATED = "ENTITIES_CREATED_AT"
_BY_STEP = "BY_PIPELINE_STEP_NUMBER_AND_ENTITIES_CREATED_AT"
_LATEST_BY: dict[str, tuple[str, ...]] = {
    "Version": (_CREATED, _BY_STEP),
    "PublishedFile": (_CREATED, "VERSION_NUMBER"),
    "Cut": ("REVISION_NUMBER",),
}
_NEEDED: dict[str, tuple[tuple[str, str], ...]] = {
    _CREATED: (),
    _BY_STEP: (("Version", "sg_task"), ("Task", "step"), ("Step", "list_order")),
    "VERSION_NUMBER": (("PublishedFile", "version_number"),),
    "REVISION_NUMBER": (("Cut", "revision_number"),),
    "CUT_SHOT_VERSIONS": (("Version", "entity"), ("CutItem", "cut"), ("CutItem", "shot")),
}


class Presets:
    """Reads the presets of one site and turns them into SQL.

    Args:
        schema: The fields.
        tables: The tables they are stored in.
    """

    def __init__(self, schema: Schema, tables: Tables) -> None:
        self._schema = schema
        self._tables = tables

    def read(self, entity_type: str, given: Any, values: list[Any]) -> tuple[str, ...]:
        """Checks presets as they came over the wire.

        Args:
            entity_type: The type that is read.
            given: The parameter ``additional_filter_presets``; None and an empty list are none.
            values: Gets the values that the presets take, in their order.

        Returns:
            The variants of LATEST, and ``CUT_SHOT_VERSIONS``.

        Raises:
            Fault: The presets are malformed or unknown, or there are two LATEST.
        """
        if given is None:
            return ()
        if not is_list(given):
            raise Fault(f"API read() invalid array 'additional_filter_presets': {ruby_text(given)}")
        found: list[str] = []
        for preset in given:
            if not is_hash(preset):
                raise Fault(f"API read() invalid additional filter preset: {ruby_text(preset)}")
            found.append(self._read_one(entity_type, preset, values))
        if len({name == "CUT_SHOT_VERSIONS" for name in found}) != len(found):
            raise Fault("API read() an additional filter preset is given more than once.")
        return tuple(found)

    def _read_one(self, entity_type: str, preset: dict[str, Any], values: list[Any]) -> str:
        name = preset.get("preset_name")
        if name == "LATEST":
            found = _latest_by(entity_type, preset.get("latest_by"))
        elif name == "CUT_SHOT_VERSIONS" and entity_type == "Version":
            found = name
            cut_id = preset.get("cut_id")
            if not is_integer(cut_id):
                raise Fault(f"API read() invalid/missing integer 'cut_id': {ruby_text(cut_id)}")
            values.append(cut_id)
        else:
            shown = ruby_text(name)
            raise Fault(f"API read() {entity_type} has no filter preset 'preset_name': {shown}")
        needed = (
            [*_NEEDED[found], (entity_type, "entity")] if entity_type != "Cut" else _NEEDED[found]
        )
        for field in needed:
            if not self._schema.has(*field):
                raise Fault(f"API read() the preset {found} needs {'.'.join(field)}.")
        return found

    def conditions(
        self,
        table: FromClause,
        entity_type: str,
        names: tuple[str, ...],
        take: Take,
        same: Conditions,
    ) -> list[Any]:
        """Returns the SQL of presets that `read` understood.

        Args:
            table: The alias of the entity table to filter.
            entity_type: Its type.
            names: What `read` returned.
            take: Makes the next parameter.
            same: Makes the conditions of all filters of the read on another alias.
        """
        found: list[Any] = []
        for name in names:
            if name == "CUT_SHOT_VERSIONS":
                found.append(self._of_cut(table, take()))
            elif name == "REVISION_NUMBER":
                found.append(self._highest_revision(table, same))
            else:
                found += self._latest(table, entity_type, name)
        return found

    def _of_cut(self, table: FromClause, cut_id: Any) -> Any:
        items = self._tables.entities["CutItem"].alias()
        shots = select(items.c[link_id("shot")]).where(
            items.c[link_id("cut")] == cut_id,
            items.c[link_type("shot")] == constant("Shot"),
            items.c["_retired"] == number(0),
        )
        is_shot = table.c[link_type("entity")] == constant("Shot")
        return is_shot & table.c[link_id("entity")].in_(shots)

    def _highest_revision(self, table: FromClause, same: Conditions) -> Any:
        other = self._tables.entities["Cut"].alias()
        highest = select(func.max(other.c.revision_number)).where(*same(other)).scalar_subquery()
        return table.c.revision_number == highest

    def _latest(self, table: FromClause, entity_type: str, name: str) -> list[Any]:
        """Returns the condition that no other row of the same entity comes later."""
        other = self._tables.entities[entity_type].alias()
        later = (
            select(number(1))
            .select_from(other)
            .where(
                other.c[link_id("entity")] == table.c[link_id("entity")],
                other.c[link_type("entity")] == table.c[link_type("entity")],
                other.c["_retired"] == number(0),
                tuple_(*self._rank(other, name)) > tuple_(*self._rank(table, name)),
            )
        )
        return [table.c[link_id("entity")].is_not(None), ~any_row(later)]

    def _rank(self, table: FromClause, name: str) -> list[Any]:
        created = [func.coalesce(table.c.created_at, constant("")), table.c.id]
        if name == "VERSION_NUMBER":
            return [func.coalesce(table.c.version_number, number(-1)), *created]
        return [self._step_order(table), *created] if name == _BY_STEP else created

    def _step_order(self, table: FromClause) -> Any:
        tasks, steps = (self._tables.entities[kind].alias() for kind in ("Task", "Step"))
        found = (
            select(steps.c.list_order)
            .select_from(tasks.join(steps, steps.c.id == tasks.c[link_id("step")]))
            .where(tasks.c.id == table.c[link_id("sg_task")])
        )
        one = found.correlate_except(tasks, steps).scalar_subquery()
        return func.coalesce(one, number(-1))


def _latest_by(entity_type: str, by: Any) -> str:
    legal = _LATEST_BY.get(entity_type, ())
    if not isinstance(by, str) or by not in legal:
        shown = ", ".join(legal) or "none"
        text = f"API read() LATEST of {entity_type} has no 'latest_by': {ruby_text(by)}"
        raise Fault(f"{text}. Valid values: {shown}")
    return by
