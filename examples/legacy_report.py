"""A script as studios have many: written for shotgun_api3 alone, one call after the other.

Prints how far the tasks of a few shots are. It knows nothing of threads or futures;
`main_job.py` runs it unchanged from several threads, on the facade of an executor.
"""

import os

import shotgun_api3


def report(sg, sequence_code):
    """The lines of the report on one sequence."""
    assert isinstance(sg, shotgun_api3.Shotgun)
    sequence = sg.find_one("Sequence", [["code", "is", sequence_code]], ["code"])
    shots = sg.find(
        "Shot",
        [["sg_sequence", "is", sequence]],
        ["code", "sg_status_list", "updated_at"],
        order=[{"field_name": "code"}],
        limit=6,
    )
    lines = []
    for shot in shots:
        tasks = sg.find("Task", [["entity", "is", shot]], ["sg_status_list"])
        done = sum(task["sg_status_list"] == "fin" for task in tasks)
        when = shot["updated_at"].strftime("%Y-%m-%d")
        lines.append(f"{shot['code']}  {shot['sg_status_list']}  {when}  {done}/{len(tasks)}")
    return lines


def main():
    """Report on the sequence that comes first."""
    sg = shotgun_api3.Shotgun(
        os.environ["SHOTGUN_URL"],
        script_name=os.environ["SHOTGUN_SCRIPT_NAME"],
        api_key=os.environ["SHOTGUN_API_KEY"],
    )
    first = sg.find_one("Sequence", [], ["code"], order=[{"field_name": "code"}])
    print("\n".join(report(sg, first["code"])))
    sg.close()


if __name__ == "__main__":
    main()
