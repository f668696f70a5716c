"""Calls per second against the number of workers, beside the official client, as a picture.

    python throughput.py
    python throughput.py --latency 0.2 --workers 1,2,4,8,16,32 --out throughput.png

Looks up shots one by one on a local site that takes 50 ms for an answer: first with the official
client, which makes one call at a time, then with an executor of 1, 2, 4, ... workers. Prints a
table, and draws it if matplotlib is installed. It never touches a real site; for that there is
`shotgun-executor probe`, which is polite.
"""

import argparse
import sys
import time

import shotgun_api3
from _site import bar, run_program

from shotgun_executor import ShotgunExecutor
from shotgun_executor.sandbox import Sandbox


def look_up(sg, shot_id):
    return sg.find_one("Shot", [["id", "is", shot_id]], ["code"])["code"]


def measure_official(site, ids, progress):
    """Calls per second of the official client, and what it has found."""
    sg = shotgun_api3.Shotgun(**site)
    look_up(sg, ids[0])  # connects
    start = time.perf_counter()
    codes = []
    for shot_id in ids:
        codes.append(look_up(sg, shot_id))
        progress.update()
    rate = len(ids) / (time.perf_counter() - start)
    sg.close()
    return rate, codes


def measure_executor(executor, workers, ids, progress):
    """Calls per second of so many workers, and what they have found."""
    executor.limit.calls = workers  # the connections stay
    calls = ids * max(1, workers // 2)  # more workers do more in the same time
    sg = executor.shotgun
    list(executor.map(lambda shot_id: look_up(sg, shot_id), ids[:workers]))  # connects
    start = time.perf_counter()
    codes = list(executor.map(lambda shot_id: look_up(sg, shot_id), calls))
    rate = len(calls) / (time.perf_counter() - start)
    progress.update(len(ids))
    return rate, codes[: len(ids)]


def measure(site, all_workers, count):
    """Calls per second: of the official client, and by the number of workers."""
    rates = {}
    with ShotgunExecutor(**site, max_workers=all_workers[-1]) as executor:
        shots = executor.shotgun.find("Shot", [])
        ids = [shots[number % len(shots)]["id"] for number in range(count)]
        with bar(total=count * (1 + len(all_workers)), unit=" calls") as progress:
            official, expected = measure_official(site, ids, progress)
            for workers in all_workers:
                rates[workers], codes = measure_executor(executor, workers, ids, progress)
                if codes != expected:
                    raise SystemExit("the executor and the official client disagree")
    return official, rates


def draw(path, official, rates, latency):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(list(rates), list(rates.values()), "o-", label="executor")
    axes.plot(
        list(rates), [n * official for n in rates], ":", color="gray", label="workers x official"
    )
    axes.axhline(official, color="C1", label="official client, one call at a time")
    for workers, rate in list(rates.items())[1:]:
        axes.annotate(
            f"{rate / official:.1f} x",
            (workers, rate),
            xytext=(-8, 4),
            textcoords="offset points",
            ha="right",
        )
    axes.set_title(f"find_one, a site that answers in {latency * 1000:.0f} ms")
    axes.set_xlabel("workers")
    axes.set_ylabel("calls per second")
    axes.set_xticks(list(rates))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


def numbers(text):
    """The value of --workers, such as 1,2,4."""
    values = [int(each) for each in text.split(",")]
    if min(values) < 1:
        raise ValueError(text)
    return sorted(set(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=numbers, default="1,2,4,8,16", help="default: 1,2,4,8,16")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per answer (0.05)")
    parser.add_argument("--calls", type=int, default=30, help="lookups of the official client (30)")
    parser.add_argument("--out", default="throughput.svg", help="the picture: .svg, .png, .pdf")
    options = parser.parse_args()
    if options.latency < 0 or options.calls < 1:
        parser.error("--latency must be 0 or more, and --calls 1 or more")
    if not options.out.endswith((".svg", ".png", ".pdf")):
        parser.error("--out must end in .svg, .png or .pdf")
    with Sandbox(demo=True, shots=60, latency=options.latency) as sandbox:
        site = {"base_url": sandbox.url, **sandbox.credentials}
        official, rates = measure(site, options.workers, options.calls)
    print(f"{'':>20}  calls/s   ratio")
    print(f"{'official client':>20}{official:9.1f}{1:8.1f}")
    for workers, rate in rates.items():
        print(f"{f'{workers} workers':>20}{rate:9.1f}{rate / official:8.1f}")
    try:
        draw(options.out, official, rates, options.latency)
    except ImportError:
        print("no picture: pip install matplotlib", file=sys.stderr)
    else:
        print(f"drawn to {options.out}")
    return 0


if __name__ == "__main__":
    run_program(main)
