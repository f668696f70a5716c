"""A believable show for demonstrations and measurements: the same entities every time."""

from __future__ import annotations

import json
import random
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from . import dates
from .bulk import Bulk, Key
from .seeds import STEPS
from .store import compile_statement

if TYPE_CHECKING:
    from .site import Site

_START = datetime(2026, 1, 5, 9, 0, tzinfo=timezone.utc)
_FIRST = (
    "Ada",
    "Bela",
    "Chidi",
    "Daro",
    "Eilin",
    "Femi",
    "Goran",
    "Hana",
    "Ines",
    "Jun",
    "Kaya",
    "Liv",
    "Milo",
    "Noor",
    "Oskar",
    "Pilar",
    "Quinn",
    "Rasa",
    "Sven",
    "Tomas",
)
_LAST = ("Alder", "Birk", "Cedar", "Dorn", "Espen", "Fennel", "Ginkgo", "Hazel")
_ASSETS = {
    "Character": ("Captain Marrow", "Lighthouse Keeper", "Tin Sailor", "Moth Queen", "Old Gull"),
    "Environment": ("Harbor", "Glass Reef", "Lantern Deck", "Fog Bank", "Salt Market"),
    "Prop": ("Brass Compass", "Rope Coil", "Oil Lamp", "Sea Chest", "Cracked Bell"),
    "Vehicle": ("Paper Boat", "Iron Whale", "Skiff", "Steam Tug"),
    "FX": ("Storm Front", "Lamp Glow", "Ink Cloud"),
}
_WORDS = (
    "tighten the timing",
    "check the horizon line",
    "lamp flickers too fast",
    "lovely read",
    "edges need a softer falloff",
    "match the previous shot",
    "try a warmer key",
)
_FILE_TYPES = ("Maya Scene", "Nuke Script", "Alembic Cache", "Image Sequence", "Movie")
_DEPARTMENTS = ("Animation", "Comp", "FX", "Layout", "Lighting")


def load_demo(site: Site, *, shots: int = 600) -> None:
    """Adds the project "The Lantern Sea" to a site.

    It holds sequences, shots, assets, tasks, versions, published files, playlists, notes with
    replies, time logs and the people who made them: about 24 entities per shot. The same number
    of shots always gives the same entities, with the same ids if the site is new.

    Args:
        site: The site, which nobody else writes to meanwhile.
        shots: How many shots.

    Raises:
        ValueError: `shots` is below 1.
    """
    if shots < 1:
        raise ValueError("shots must be at least 1")
    show = _Show(site)
    show.people()
    show.assets(max(4, shots // 4))
    show.shots(shots)
    show.reviews()
    show.bulk.write()


class _Show:
    """Makes the entities of one show, with a random choice that is always the same."""

    def __init__(self, site: Site) -> None:
        # Not for secrets: the choice has to be repeatable.
        self._random = random.Random(20260105)  # noqa: S311
        self.bulk = Bulk(site, dates.write_time(_START))
        self._steps = _steps(site)
        self._storage: Key = ("LocalStorage", 1)
        self.project = self.bulk.add(
            "Project",
            name="The Lantern Sea",
            code="tls",
            tank_name="lantern_sea",
            sg_type="Feature",
            start_date="2026-01-05",
            end_date="2026-12-18",
            sg_budget=1_250_000.5,
            sg_description="A tin sailor looks for the light that went out.",
        )
        self._file_types = [self.bulk.add("PublishedFileType", code=n) for n in _FILE_TYPES]
        self._tags = [self.bulk.add("Tag", name=n) for n in ("hero", "night", "rain", "reuse")]
        self._people: list[Key] = []
        self._assets: list[Key] = []
        self._versions: list[Key] = []

    def _moment(self, day: int) -> str:
        minutes = self._random.randrange(9 * 60)
        return dates.write_time(_START + timedelta(days=day, minutes=minutes))

    def _day(self, day: int) -> str:
        return (date(2026, 1, 5) + timedelta(days=day)).isoformat()

    def people(self) -> None:
        """Adds departments, people and groups."""
        departments = [
            self.bulk.add("Department", name=name, code=name[:4].upper()) for name in _DEPARTMENTS
        ]
        for number in range(40):
            first = _FIRST[number % len(_FIRST)]
            last = _LAST[(number // len(_FIRST) * 3 + number) % len(_LAST)]
            self._people.append(
                self.bulk.add(
                    "HumanUser",
                    name=f"{first} {last}",
                    firstname=first,
                    lastname=last,
                    login=f"{first}.{last}".lower(),
                    email=f"{first}.{last}@lantern.example".lower(),
                    department=departments[number % len(departments)],
                )
            )
        for at, name in enumerate(("Supervisors", "Production", "Artists")):
            self.bulk.add("Group", code=name, users=self._people[at::3])

    def assets(self, count: int) -> None:
        """Adds assets with their tasks."""
        kinds = list(_ASSETS)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            names = _ASSETS[kind]
            turn = number // len(kinds)
            name = names[turn % len(names)] + (
                f" {turn // len(names)}" if turn >= len(names) else ""
            )
            asset = self.bulk.add(
                "Asset",
                code=name,
                project=self.project,
                sg_asset_type=kind,
                description=f"{kind} for the harbor scenes",
                created_at=self._moment(number % 30),
                sg_status_list=self._random.choice(("wtg", "ip", "ip", "fin")),
                tags=self._random.sample(self._tags, number % 3),
            )
            self._assets.append(asset)
            self._tasks(asset, "Asset", number % 60)

    def shots(self, count: int) -> None:
        """Adds sequences of twenty shots, with tasks, versions and published files."""
        sequence: Key = ("Sequence", 0)
        for number in range(count):
            at = number % 20
            if at == 0:
                sequence = self.bulk.add(
                    "Sequence",
                    code=f"LS{number // 20 + 1:03}",
                    project=self.project,
                    description="Out on the water",
                    sg_status_list="ip",
                )
            length = self._random.randrange(24, 200)
            start = 1001
            shot = self.bulk.add(
                "Shot",
                code=f"LS{number // 20 + 1:03}_{(at + 1) * 10:04}",
                project=self.project,
                sg_sequence=sequence,
                sg_cut_in=start,
                sg_cut_out=start + length - 1,
                sg_cut_duration=length,
                sg_cut_order=at + 1,
                sg_frame_rate=24.0,
                sg_head_in=start - 8,
                sg_tail_out=start + length + 7,
                sg_due_date=self._day(120 + at),
                sg_status_list=self._random.choice(("wtg", "rdy", "ip", "ip", "rev", "fin", "omt")),
                description=f"The lantern drifts past buoy {number % 37}",
                assets=self._random.sample(self._assets, min(5, len(self._assets))),
                created_at=self._moment(number % 60),
                created_by=self._random.choice(self._people),
                tags=self._random.sample(self._tags, number % 2),
            )
            self._tasks(shot, "Shot", number % 90)

    def _tasks(self, entity: Key, kind: str, day: int) -> None:
        for name, step in self._steps[kind]:
            status = self._random.choice(("wtg", "rdy", "ip", "ip", "rev", "fin"))
            person = self._random.choice(self._people)
            task = self.bulk.add(
                "Task",
                content=name,
                entity=entity,
                step=step,
                project=self.project,
                sg_status_list=status,
                start_date=self._day(day),
                due_date=self._day(day + 10),
                est_in_mins=480 * self._random.randrange(1, 6),
                task_assignees=[person],
                created_at=self._moment(day),
            )
            if status in ("ip", "rev", "fin"):
                self._publish(entity, task, name, person, day)

    def _publish(self, entity: Key, task: Key, name: str, person: Key, day: int) -> None:
        """Adds one to three versions of a task, a published file for each, and a time log."""
        for number in range(1, self._random.randrange(1, 4) + 1):
            code = f"{entity[0].lower()}{entity[1]:05}_{name.lower()}_v{number:03}"
            made: dict[str, Any] = {
                "project": self.project,
                "entity": entity,
                "created_by": person,
                "created_at": self._moment(day + number * 2),
            }
            version = self.bulk.add(
                "Version",
                code=code,
                sg_task=task,
                user=person,
                sg_first_frame=1001,
                frame_count=96,
                sg_last_frame=1096,
                frame_range="1001-1096",
                frame_rate=24.0,
                sg_version_type="Production",
                sg_status_list=self._random.choice(("rev", "rev", "vwd", "apr", "na")),
                sg_path_to_movie=f"/mnt/projects/lantern_sea/movies/{code}.mov",
                description=f"Second pass: {self._random.choice(_WORDS)}",
                **made,
            )
            self._versions.append(version)
            path = f"publish/{code}.ma"
            self.bulk.add(
                "PublishedFile",
                code=f"{code}.ma",
                name=name,
                version=version,
                task=task,
                version_number=number,
                published_file_type=self._random.choice(self._file_types),
                path=json.dumps(self._local(path)),
                path_cache=f"lantern_sea/{path}",
                path_cache_storage=self._storage,
                sg_status_list="cmpt",
                **made,
            )
        self.bulk.add(
            "TimeLog",
            project=self.project,
            entity=task,
            user=person,
            description=name,
            duration=60 * self._random.randrange(1, 9),
            date=self._day(day + 3),
        )

    def _local(self, path: str) -> dict[str, Any]:
        relative = f"lantern_sea/{path}"
        windows = relative.replace("/", "\\")
        return {
            "link_type": "local",
            "name": path.rsplit("/", 1)[-1],
            "content_type": None,
            "local_storage": {"type": "LocalStorage", "id": 1, "name": "primary"},
            "relative_path": relative,
            "local_path_linux": f"/mnt/projects/{relative}",
            "local_path_mac": f"/Volumes/projects/{relative}",
            "local_path_windows": f"P:\\projects\\{windows}",
        }

    def reviews(self) -> None:
        """Adds playlists of versions, and notes with replies on some of them."""
        for number in range(max(1, len(self._versions) // 100)):
            versions = self._random.sample(self._versions, min(12, len(self._versions)))
            self.bulk.add(
                "Playlist",
                code=f"Dailies {self._day(number)}",
                project=self.project,
                sg_type="Dailies",
                versions=versions,
                created_at=self._moment(number % 200),
            )
        for version in self._versions[::7]:
            author, reader = self._random.sample(self._people, 2)
            words = self._random.choice(_WORDS)
            moment = self._moment(version[1] % 150)
            note = self.bulk.add(
                "Note",
                subject=f"Review of version {version[1]}",
                content=f"Please {words}.",
                project=self.project,
                note_links=[version],
                user=author,
                created_by=author,
                addressings_to=[reader],
                created_at=moment,
                sg_status_list=self._random.choice(("opn", "ip", "clsd")),
            )
            self.bulk.add(
                "Reply",
                content=f"Will {words}.",
                entity=note,
                user=reader,
                created_by=reader,
                created_at=moment,
            )


def _steps(site: Site) -> dict[str, list[tuple[str, Key]]]:
    """Returns name and key of the pipeline steps for each entity type."""
    table = site.store.tables.entities["Step"]
    wanted = select(table.c.id, table.c.code, table.c.entity_type).order_by(table.c.id)
    found: dict[str, list[tuple[str, Key]]] = {kind: [] for kind, *_ in STEPS}
    for entity_id, code, kind in site.store.run(compile_statement(wanted, [])):
        found.setdefault(kind, []).append((code, ("Step", entity_id)))
    return found
