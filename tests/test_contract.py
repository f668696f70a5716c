"""What we lean on in ``shotgun_api3``: it is there, and if not, the official way is taken."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import warnings

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import ShotgunPool, contract, decode, methods
from shotgun_executor.opening import Proxy
from shotgun_executor.prototype import Prototype
from shotgun_executor.transport import Transport
from tests.support import KEYS, NOWHERE


@pytest.mark.parametrize("piece", contract.PIECES)
def test_contract_holds_with_the_installed_client(piece):
    """Each method that a piece overrides or calls is there, with the parameters it expects."""
    assert contract.differences(Shotgun, piece) == []


def test_contract_holds_without_a_warning():
    """Nobody is warned of a version that fits."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert contract.usable(tried={"decode": decode.disagreements}) == set(contract.PIECES)


def test_contract_covers_what_the_pieces_override():
    """Whatever one of our classes overrides is listed, so that no change goes unnoticed."""
    listed = {name for piece in contract.PIECES.values() for name in piece}
    for own in methods.OWN_WAYS:
        names = {name for name in vars(own) if not name.startswith("__")}
        assert names & set(vars(Shotgun)) <= listed


def test_contract_attributes_are_there():
    """What is read from a client and its config exists, and means what we take it to mean."""
    sg = Shotgun(
        "https://Host.Example:8443/",
        connect=False,
        http_proxy="me:p@w@proxy:3128",
        ca_certs="/some/ca.pem",
        **KEYS,
    )
    config = sg.config
    assert (config.scheme, config.server, config.api_path) == (
        "https",
        "host.example:8443",
        "/api3/json",
    )
    proxy = Proxy(config.proxy_server, config.proxy_port, config.proxy_user, config.proxy_pass)
    assert proxy == ("proxy", 3128, "me", "p@w", True)
    assert config.proxy_handler.proxies == {"https": "http://me:p@w@proxy:3128"}
    assert config.timeout_secs is None
    assert config.localized is False
    assert config.authorization is None
    assert config._sg is sg
    assert sg._Shotgun__ca_certs == "/some/ca.pem"
    assert sg._connection is None
    assert sg._server_caps is None
    assert isinstance(sg._user_agents, list)
    assert sg.MAX_ATTEMPTS == 3
    assert sg._MULTIPART_UPLOAD_CHUNK_SIZE > 0
    assert Shotgun._get_certs_file(None).endswith(".pem")


def test_contract_errors_are_those_of_the_client():
    """The classes that except clauses name are the installed client's own."""
    for name in ("ServerNotFoundError", "RedirectLimit", "FailedToDecompressContent"):
        assert getattr(contract, name).__module__.startswith("shotgun_api3.")
    assert contract.ProxyError.__module__.startswith("shotgun_api3.")


def test_contract_clients_use_all_pieces():
    """A connected client has our transport, in the place of httplib2's."""
    with ShotgunPool(NOWHERE, **KEYS) as sg, sg.lease() as client:
        assert isinstance(client._get_connection(), Transport)
        assert set(methods.OWN_WAYS) < set(type(client).__mro__)
        position = type(client).__mro__.index
        assert all(position(own) < position(Shotgun) for own in methods.OWN_WAYS)


def test_contract_classes_of_users_come_before_ours():
    """What a user's class overrides is found before ours."""

    class Studio(Shotgun):
        pass

    prototype = Prototype(Studio(NOWHERE, connect=False, **KEYS))
    client, _ = prototype.new_client()
    order = type(client).__mro__
    assert all(order.index(Studio) < order.index(own) for own in methods.OWN_WAYS)
    assert prototype.client_class is Studio
    assert type(client).__name__ == "Studio"


CHANGES = {
    "calls": "sg.Shotgun._make_call = lambda self, request: None",
    "transport": "sg.Shotgun._get_connection = lambda self, host: None",
    "files": "del sg.Shotgun._send_form",
    "decode": "sg.Shotgun._json_loads = lambda self, body, strict=True: None",
}
NAMES = {"calls": "_OwnCalls", "decode": "OwnDecoding", "files": "_OwnFiles"}
NAMES["transport"] = "_OwnTransport"


@pytest.mark.parametrize("piece", CHANGES)
def test_contract_broken_leaves_the_piece_out_and_warns_once(piece):
    """A client that has moved on is used in its own way, and one warning tells of it."""
    script = f"""
        import json, warnings
        import shotgun_api3.shotgun as sg
        {CHANGES[piece]}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import shotgun_executor
            from shotgun_executor import methods
            for _ in range(2):
                pool = shotgun_executor.ShotgunPool("http://127.0.0.1:9", "a", "b")
                pool.lease().release()
        print(json.dumps([
            [own.__name__ for own in methods.OWN_WAYS],
            [str(warning.message) for warning in caught],
        ]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    used, told = json.loads(done.stdout)
    left_out = {"transport": {"_OwnTransport", "_OwnFiles"}}.get(piece, {NAMES[piece]})
    assert set(used) == set(NAMES.values()) - left_out
    assert len(told) == len(left_out)
    assert any(f"its own {piece}" in text for text in told)


def test_contract_official_transport_still_works(monkeypatch, sandbox):
    """With every piece left out the pool works, as the official client does."""
    script = f"""
        import warnings
        import shotgun_api3.shotgun as sg
        official = sg.Shotgun._get_connection
        sg.Shotgun._get_connection = lambda self, again=None: official(self)
        real = sg.Shotgun._make_call
        sg.Shotgun._make_call = lambda self, *args: real(self, *args)
        loads = sg.Shotgun._json_loads
        sg.Shotgun._json_loads = lambda self, *args: loads(self, *args)
        warnings.simplefilter("ignore")
        import shotgun_executor
        from shotgun_executor import methods
        assert methods.OWN_WAYS == ()
        with shotgun_executor.ShotgunPool({sandbox.url!r}, **{sandbox.credentials!r}) as pool:
            print(pool.find("Shot", []), pool.create("Project", {{"name": "p"}})["type"])
            lease = pool.lease()
            print(lease.connection.abort())
            lease.release()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["[] Project", "True"]
