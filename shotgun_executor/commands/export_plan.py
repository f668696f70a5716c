"""What an export reads: the entity types, and of each its fields and filters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, cast

from shotgun_executor.commands.site import check_fields, check_types, find_project
from shotgun_executor.commands.terminal import Refused, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from shotgun_executor.executor import ShotgunExecutor

__all__ = ["Plan", "TypePlan", "asked_of", "make_plan", "parse_filters"]

_EMPTY = ("password", "pivot_column")
"""Data types that never read as anything."""
_SHOWN = 60
"""Characters of what is wrong that a message repeats."""


class TypePlan(NamedTuple):
    """What is read of an entity type."""

    entity_type: str
    fields: list[str]
    filters: list[Any]
    expected: Optional[int]
    """How many rows there were at the start; None: the site cannot tell."""


class Plan(NamedTuple):
    """What an export reads."""

    types: list[TypePlan]
    """Those with many rows first."""
    schema: dict[str, Any]
    """The fields of each entity type, as ``schema_read`` returns them."""
    entities: dict[str, Any]
    """As ``schema_entity_read`` returns them."""


def parse_filters(text: Optional[str]) -> list[Any]:
    """The value of ``--filters``.

    Raises:
        Refused: It is no list of conditions.
    """
    if text is None:
        return []
    form = """write JSON like '[["sg_status_list", "is", "ip"]]'"""
    try:
        filters = json.loads(text)
        wrong = _wrong_conditions(filters)
    except (ValueError, RecursionError) as error:
        raise Refused(f"--filters: this is no JSON: {error}; {form}") from None
    if wrong is not None:
        raise Refused(f"--filters: {wrong}; {form}")
    return cast("list[Any]", filters)


def _wrong_conditions(found: Any) -> Optional[str]:
    """What is wrong with a list of conditions, as far as can be told without the site."""
    if not isinstance(found, list):
        return f"{_shown(found)} is no list of conditions"
    wrongs = map(_wrong_condition, found)
    return next((wrong for wrong in wrongs if wrong is not None), None)


def _wrong_condition(found: Any) -> Optional[str]:
    if isinstance(found, dict):
        group = cast("dict[str, Any]", found)
        if not {"filter_operator", "filters"} <= set(group):
            return f"{_shown(found)} is no group: that has filter_operator and filters"
        if group["filter_operator"] not in ("all", "any", "and", "or"):
            return f"the filter_operator of {_shown(found)} is neither all nor any"
        return _wrong_conditions(group["filters"])
    condition: list[Any] = found if isinstance(found, list) else []
    texts = [each for each in condition[:2] if isinstance(each, str) and each]
    if len(condition) < 3 or len(texts) < 2:
        return f"{_shown(found)} is no condition: that is a list of field, relation and values"
    return None


def _shown(found: Any) -> str:
    text = json.dumps(found)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def asked_of(options: argparse.Namespace, filters: list[Any], site: str) -> dict[str, Any]:
    """What a folder must have been asked for, for an export to go on in it."""
    return {
        "site": site,
        "fields": options.fields,
        "filters": filters,
        "project": options.project,
    }


def make_plan(executor: ShotgunExecutor, options: argparse.Namespace, filters: list[Any]) -> Plan:
    """Ask the site what there is to read.

    Raises:
        Refused: There is no such type, field or project.
    """
    project = find_project(executor, options.project) if options.project else None
    entities = executor.schema_entity_read().result()
    check_types("TYPE", options.types, entities)
    check_types("--except", options.without, entities)
    names = [*dict.fromkeys(options.types)] or [*entities]
    asked = {
        name: executor.schema_field_read(name) for name in names if name not in options.without
    }
    schema = {name: future.result() for name, future in asked.items()}
    types: list[TypePlan] = []
    for name, known in schema.items():
        if options.fields:
            check_fields("--fields", name, options.fields, known)
        of_project = _of_project(name, known, project)
        if of_project is None:
            _pass_over(options, name)
        else:
            fields = options.fields or _readable(known)
            types.append(TypePlan(name, fields, [*filters, *of_project], None))
    return Plan(_counted(executor, types), schema, {name: entities[name] for name in schema})


def _readable(known: Mapping[str, Any]) -> list[str]:
    """The fields that hold something."""
    return [name for name, field in known.items() if field["data_type"]["value"] not in _EMPTY]


def _of_project(
    entity_type: str, known: Mapping[str, Any], project: Optional[dict[str, Any]]
) -> Optional[list[Any]]:
    """The condition that rows belong to the project; None: they belong to none."""
    if project is None:
        return []
    if entity_type == "Project":
        return [["id", "is", project["id"]]]
    link = {"type": "Project", "id": project["id"]}
    return [[name, "is", link] for name in ("project", "projects") if name in known][:1] or None


def _pass_over(options: argparse.Namespace, entity_type: str) -> None:
    if entity_type in options.types:
        raise Refused(
            f"--project: {entity_type} belongs to no project; export it without --project"
        )
    say(f"{entity_type}: left out, it belongs to no project")


def _counted(executor: ShotgunExecutor, types: list[TypePlan]) -> list[TypePlan]:
    """The types with how many rows they have, and those with the most of them first."""
    wanted = [{"field": "id", "type": "count"}]
    asked = [(each, executor.summarize(each[0], each.filters, wanted)) for each in types]
    counted: list[TypePlan] = []
    for each, future in asked:
        # It is a hint, no more: what is wrong with the type is told when it is read.
        found = None if future.exception() is not None else future.result()["summaries"]["id"]
        counted.append(each._replace(expected=found))
    return sorted(counted, key=lambda each: -(each.expected or 0))
