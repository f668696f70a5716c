"""Questions to a site from an asyncio program: futures are awaited, and the loop is never held up.

A future of the executor can be awaited, gathered, and cancelled with its task; nothing else is
needed. Prints one line for each shot with how many of its tasks are done, all asked at once, and at
the end how long the loop was held up at most: a service has other things to do meanwhile.
"""

import argparse
import asyncio
import time

from _site import find_project, open_executor, run_program, whole_number

NAME = ["code", "sg_status_list"]


async def describe(executor, shot):
    """One line about a shot: two questions at once."""
    tasks, versions = await asyncio.gather(
        executor.find("Task", [["entity", "is", shot]], ["sg_status_list"]),
        executor.find("Version", [["entity", "is", shot]], ["id"]),
    )
    done = sum(task["sg_status_list"] == "fin" for task in tasks)
    return f"{shot['code']:<12} {done}/{len(tasks)} tasks, {len(versions)} versions"


async def describe_all(executor, project, count, seconds):
    """The lines of so many shots; those that are not there in time are cancelled, and say so."""
    shots = await executor.find("Shot", [["project", "is", project]], NAME, limit=count)
    lines = [asyncio.wait_for(describe(executor, shot), seconds) for shot in shots]
    answers = await asyncio.gather(*lines, return_exceptions=True)
    return [
        f"{shot['code']:<12} failed: {str(answer) or 'no answer in time'}"
        if isinstance(answer, Exception)
        else answer
        for shot, answer in zip(shots, answers)
    ]


class Pulse:
    """Measures how late the loop is: what else a service would do, every few milliseconds."""

    def __init__(self, every=0.002):
        self.every = every
        self.beats = 0
        self.longest = 0.0

    async def __aenter__(self):
        """Begin."""
        self.task = asyncio.ensure_future(self.run())
        return self

    async def __aexit__(self, *error):
        """End."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def run(self):
        """Beat until cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(self.every)
            self.longest = max(self.longest, time.perf_counter() - began - self.every)
            self.beats += 1


async def serve(executor, options):
    """Ask for all, with the pulse beside it; returns how many have failed."""
    project = await asyncio.get_running_loop().run_in_executor(
        executor, find_project, executor.shotgun, options.project
    )
    began = time.perf_counter()
    async with Pulse() as pulse:
        lines = await describe_all(executor, project, options.shots, options.timeout)
    seconds = time.perf_counter() - began
    print("\n".join(lines))
    print(
        f"{len(lines)} shots in {seconds:.2f} s; meanwhile the loop did {pulse.beats} other "
        f"things, and was held up for {pulse.longest * 1000:.0f} ms at most"
    )
    return sum(" failed: " in line for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    parser.add_argument("--shots", type=int, default=50, help="how many shots (default: 50)")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for each shot")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    options = parser.parse_args()
    if options.shots < 1 or not options.timeout > 0:
        parser.error("--shots must be at least 1, and --timeout more than 0")
    with open_executor(shots=60, max_workers=options.workers) as executor:
        return 1 if asyncio.run(serve(executor, options)) else 0


if __name__ == "__main__":
    run_program(main)
