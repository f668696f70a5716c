"""A server for webhooks: when all tasks of a shot are final, the shot becomes final.

Each event is answered on a thread of its own, by plain code that calls `executor.shotgun`: however
many threads there are, the site sees few connections. What is written is written as the person
who has caused the event: there is an executor for each, which signs in by `sudo_as_login`.

With SHOTGUN_URL it serves until Ctrl-C. With WEBHOOK_SECRET set, events whose signature is wrong
are refused. Without SHOTGUN_URL it sends some events to itself, on a local site, and prints how
they were answered and what that took.
"""

import argparse
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from _site import bar, open_site, run_program, whole_number

from shotgun_executor import ShotgunExecutor

LARGEST = 1_000_000  # bytes of an event


class Service:
    """What answers events: an executor for the tool, and one for each person."""

    def __init__(self, site, workers):
        self.site = site
        self.executor = ShotgunExecutor(**site, max_workers=workers)
        self.lock = threading.Lock()
        self.people = {}

    def executor_of(self, login):
        """The executor that works as that person; its connections are never another's."""
        with self.lock:
            if login not in self.people:
                self.people[login] = ShotgunExecutor(
                    **self.site, sudo_as_login=login, max_workers=2
                )
            return self.people[login]

    def answer(self, event):
        """Do what an event asks for. Returns what to answer."""
        data = event["data"]
        fields = ["entity", "entity.Shot.sg_status_list"]
        sg = self.executor.shotgun
        task = sg.find_one("Task", [["id", "is", data["entity"]["id"]]], fields)
        shot = task and task["entity"]
        if not shot or shot["type"] != "Shot" or task["entity.Shot.sg_status_list"] == "fin":
            return {"done": "nothing"}
        open_tasks = [["entity", "is", shot], ["sg_status_list", "is_not", "fin"]]
        if sg.find_one("Task", open_tasks):
            return {"done": "nothing"}
        is_person = [["id", "is", data["user"]["id"]]]
        person = sg.find_one("HumanUser", is_person, ["login"])
        self.executor_of(person["login"]).shotgun.update(
            "Shot", shot["id"], {"sg_status_list": "fin"}
        )
        return {"done": "final", "shot": shot["id"], "as": person["login"]}

    def close(self):
        """Wait for what is under way, and close all connections."""
        for executor in [self.executor, *self.people.values()]:
            executor.shutdown()


class Handler(BaseHTTPRequestHandler):
    """One request, on a thread that the server has started for its connection."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a sender may be silent

    def do_POST(self):
        """Answer an event."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True  # as the body was not read
            return self.send(413, {"error": "an event of a known, smaller size is wanted"})
        body = self.rfile.read(int(length))
        if not self.is_signed(body):
            return self.send(403, {"error": "the signature is missing or wrong"})
        try:
            event = json.loads(body)
            data = event["data"]
            int(data["entity"]["id"]), int(data["user"]["id"])
        except (ValueError, TypeError, KeyError):
            return self.send(400, {"error": "this is no event of a task by a person"})
        try:
            return self.send(200, self.server.service.answer(event))
        except Exception as error:
            self.log_error("failed: %s", error)
            return self.send(500, {"error": "the site could not be asked, see the log"})

    def is_signed(self, body):
        """Whether the body was signed with the secret, if there is one."""
        secret = os.environ.get("WEBHOOK_SECRET", "")
        digest = "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
        given = self.headers.get("X-SG-SIGNATURE", "")
        return not secret or hmac.compare_digest(digest.encode(), given.encode())

    def send(self, status, answer):
        """Send an answer as JSON."""
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        """Nothing: only errors are logged."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = False  # closing it waits for those who are answered
    request_queue_size = 128  # connections that wait to be taken; more are refused


@contextlib.contextmanager
def serving(site, port=0, workers=8):
    """A server on 127.0.0.1, on a thread; a proxy in front of it has the certificate."""
    server = Server(("127.0.0.1", port), Handler)
    server.service = Service(site, workers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.service.close()


def post(port, event):
    """Send an event as the site would; returns the answer."""
    body = json.dumps(event).encode()
    secret = os.environ.get("WEBHOOK_SECRET", "").encode()
    digest = "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/", body, {"X-SG-SIGNATURE": digest})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def show(workers):
    """Events for the tasks of a few shots, sent to a server on a local site."""
    from shotgun_executor.sandbox import Sandbox

    print("SHOTGUN_URL is not set: starting a local site with a demo show", file=sys.stderr)
    with Sandbox(demo=True, shots=40) as sandbox:
        site = {"base_url": sandbox.url, **sandbox.credentials}
        with ShotgunExecutor(**site) as executor, executor.batching() as batch:
            tasks = executor.find("Task", [["entity.Shot.id", "less_than", 9]]).result()
            for task in tasks:
                batch.update("Task", task["id"], {"sg_status_list": "fin"})
        before = sandbox.counters()
        events = [
            {"data": {"entity": task, "user": {"type": "HumanUser", "id": task["id"] % 3 + 1}}}
            for task in tasks
        ]
        with serving(site, workers=workers) as server, ThreadPoolExecutor(20) as senders:
            answers = senders.map(lambda event: post(server.server_port, event), events)
            answers = list(bar(answers, total=len(events), desc="Events"))
        after = sandbox.counters()
    for shot, person in {answer.get("shot"): answer.get("as") for answer in answers}.items():
        if shot:
            print(f"shot {shot} is final, says {person}")
    print(f"{len(answers)} events, {sum('error' in answer for answer in answers)} failed")
    print(f"{after.connections - before.connections} connections to the site")
    return any("error" in answer for answer in answers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8080, help="where to listen (default: 8080)")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    options = parser.parse_args()
    if not os.environ.get("SHOTGUN_URL"):
        return int(show(options.workers))
    with open_site() as site, serving(site, options.port, options.workers) as server:
        print(f"serving at http://127.0.0.1:{server.server_port}, Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    run_program(main)
