"""Save the schema of a site for Mockgun: two files, which tests without a site can work on.

The fields of all entity types are asked for in parallel, one call for each. The files are what
`shotgun_api3.lib.mockgun.generate_schema` makes by one large call: `schema.pickle` has the fields,
`schema_entity.pickle` the entity types. They depend on the schema alone, so that two of them can be
compared byte by byte.

    from shotgun_api3.lib.mockgun import Shotgun
    Shotgun.set_schema_paths("schema/schema.pickle", "schema/schema_entity.pickle")
"""

import argparse
import json
import pickle
from pathlib import Path

import shotgun_api3
from _site import bar, open_executor, run_program, whole_number

from shotgun_executor import as_completed

PROTOCOL = 2  # that of Mockgun, which every Python can read


def read_schema(executor):
    """The entity types of the site, and the fields of each."""
    entities = executor.schema_entity_read().result()
    futures = {name: executor.schema_field_read(name) for name in sorted(entities)}
    for _ in bar(as_completed(futures.values()), total=len(futures), desc="Reading", unit="type"):
        pass
    return entities, {name: future.result() for name, future in futures.items()}


def dump(value, path):
    """Pickle what is plain JSON.

    Its way through JSON makes the bytes depend on the values alone: pickle writes an object that it
    has met before in another way than one that is only equal to it.
    """
    plain = json.loads(json.dumps(value, sort_keys=True))
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(plain, protocol=PROTOCOL))
    part.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("schema"))
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with open_executor(max_workers=options.workers) as executor:
        try:
            entities, fields = read_schema(executor)
        except shotgun_api3.ShotgunError as error:
            raise SystemExit(f"the schema could not be read: {error}") from None
    dump(fields, options.folder / "schema.pickle")
    dump(entities, options.folder / "schema_entity.pickle")
    count = sum(map(len, fields.values()))
    print(f"{len(entities)} entity types, {count:,} fields in {options.folder}")
    return 0


if __name__ == "__main__":
    run_program(main)
