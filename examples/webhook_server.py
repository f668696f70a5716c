"""A server for webhooks: when all tasks of a shot are final, the shot becomes final.

Each event is answered on a thread of its own, by plain code that calls `executor.shotgun`: however
many threads there are, the site sees few connections. What is written is written as the person
who has caused the event: there is an executor for each, which signs in by `sudo_as_login`.

With SHOTGUN_URL it serves until Ctrl-C. With WEBHOOK_SECRET set, events whose signature is wrong are
refused. Without SHOTGUN_URL it sends some events to itself, on a local site, and prints how they
were answered and what that took.
"""

import argparse
import collections
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

from _site import bar, open_site

from shotgun_executor import ShotgunExecutor

LARGEST = 1_000_000  # bytes of an event
PEOPLE = 50  # executors that are kept


class Service:
    """What answers events: an executor for the tool, and one for each person."""

    def __init__(self, site, workers):
        self.site = site
        self.workers = workers
        self.lock = threading.Lock()
        self.people = collections.OrderedDict()
        self.executor = ShotgunExecutor(**site, max_workers=workers)

    def executor_of(self, login):
        """The executor that works as that person; those not used for long are closed."""
        with self.lock:
            if login not in self.people:
                self.people[login] = ShotgunExecutor(
                    **self.site, sudo_as_login=login, max_workers=self.workers
                )
            self.people.move_to_end(login)
            old = self.people.popitem(last=False)[1] if len(self.people) > PEOPLE else None
            executor = self.people[login]
        if old:
            old.shutdown(wait=False)
        return executor

    def answer(self, event):
        """Do what an event asks for. Returns what to answer."""
        data = event["data"]
        fields = ["entity", "entity.Shot.sg_status_list"]
        task = self.executor.shotgun.find_one("Task", [["id", "is", data["entity"]["id"]]], fields)
        shot = task and task["entity"]
        if not shot or shot["type"] != "Shot" or task["entity.Shot.sg_status_list"] == "fin":
            return {"done": "nothing"}
        open_tasks = [["entity", "is", shot], ["sg_status_list", "is_not", "fin"]]
        if self.executor.shotgun.find_one("Task", open_tasks):
            return {"done": "nothing"}
        person = [["id", "is", data["user"]["id"]]]
        person = self.executor.shotgun.find_one("HumanUser", person, ["login"])
        sg = self.executor_of(person["login"]).shotgun
        sg.update("Shot", shot["id"], {"sg_status_list": "fin"})
        return {"done": "final", "shot": shot["id"], "as": person["login"]}

    def close(self):
        for executor in [self.executor, *self.people.values()]:
            executor.shutdown()
