"""What the connections of one pool are made like, and what they all know of their site."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional

from shotgun_api3.shotgun import Fault, Shotgun

from shotgun_executor.connection import (
    Connection,
    carry_server_info,
    clone,
    connection_class,
    keep_capabilities,
    own_class,
    template_class,
    usable_capabilities,
)
from shotgun_executor.errors import bare_error, same_error
from shotgun_executor.once import Once
from shotgun_executor.opening import Limits, TlsContexts
from shotgun_executor.retry import Repeats, Retries
from shotgun_executor.session import Sessions
from shotgun_executor.settings import Settings, carry_over, read_settings
from shotgun_executor.transport import Shared

if TYPE_CHECKING:
    from shotgun_api3.shotgun import ServerCapabilities

    from shotgun_executor.opening import AbortSwitch
    from shotgun_executor.planned import Plan

__all__ = ["Prototype", "run_privately"]

# What tells a client, or a stand-in such as Mockgun, from something else that a factory returned.
_METHODS_OF_ANY_CLIENT = ("find", "find_one", "create", "update", "delete", "batch")


class Prototype:
    """What the connections of one pool are made like, and what they all know of their site.

    It holds a *template*: a client that carries the settings and never connects. Each connection
    is a client of its own with a copy of them. A setting that is changed on the template
    (``template.config.timeout_secs = 10``) reaches each connection before its next call.

    Guarantees:

    * Connections share no config, list or dict, neither with each other nor with the client that
      the prototype was made from.
    * The site is asked for ``info`` once, by the first call that needs it. A one-time
      two-factor code is used once, also if the site refuses it.
    * A session token is asked for once, and renewed once, for all connections.
    """

    def __init__(
        self,
        shotgun: Optional[Shotgun] = None,
        *,
        factory: Optional[Callable[[], Any]] = None,
        limits: Optional[Limits] = None,
        retries: Optional[Retries] = None,
        renew_session: Optional[Callable[[], Optional[str]]] = None,
        plan: Optional[Plan] = None,
    ) -> None:
        self.plan = plan  # where the writes of a dry run go; None: it is none
        self.shared = Shared(limits or Limits())
        self.repeats = Repeats(retries or Retries())
        self._factory = factory
        self._template: Once[Any] = Once()
        self.sessions = Sessions(renew_session)
        # The one-time code that the site has refused, and how.
        self._refused_code: Optional[tuple[str, Fault]] = None
        # What each site (by its host: a config can be pointed elsewhere) answered to `info`.
        self._capabilities: dict[str, Once[ServerCapabilities]] = {}
        self._settings_lock = threading.Lock()
        # What the template was like when it was new; and the product of the factory that it was
        # made from, until a connection takes it.
        self._original = Settings({}, {})
        self._first_product: Any = None
        # A weak method by which the template asks the site, should somebody ask the template.
        self._ask: Callable[[], Optional[Callable[[], ServerCapabilities]]] = lambda: None
        if shotgun is not None:
            self._template.get(lambda: self._new_template(shotgun))

    @property
    def template(self) -> Any:
        """The client that carries the settings. A factory is called for it at the first need."""
        return self._template.get(self._template_from_factory)

    def _template_from_factory(self) -> Any:
        product = self._new_product()
        self._first_product = product
        return self._new_template(product)

    def _new_template(self, shotgun: Any) -> Any:
        own = vars(shotgun).get("_prototype")
        if isinstance(own, Prototype):  # a facade or a pool: its settings are on its template
            shotgun = own.template
            self.plan = self.plan or own.plan  # what was made for a dry run stays in it
        template = shotgun
        if isinstance(shotgun, Shotgun):
            template = clone(shotgun, template_class(own_class(type(shotgun))))
            template.__dict__["_pooled_prototype"] = self
            self._original = read_settings(template)
        return template

    def _new_product(self) -> Any:
        assert self._factory is not None, "without a factory the template is made at once"
        product = self._factory()
        if isinstance(product, type) or not all(
            callable(getattr(product, name, None)) for name in _METHODS_OF_ANY_CLIENT
        ):
            raise TypeError(
                f"factory must return a new Shotgun at each call, it returned a "
                f"{type(product).__name__}; pass a function such as "
                f"lambda: shotgun_api3.Shotgun(url, script_name=..., api_key=..., connect=False)"
            )
        if isinstance(product, Shotgun) and "_pooled_connection" in vars(product):
            raise TypeError(
                "factory must return a new Shotgun at each call, it returned the same one twice; "
                "two threads must not share a client"
            )
        return product

    def forget_parent(self) -> None:
        """In a forked process: nobody is left who would set a lock free or finish an answer."""
        self._settings_lock = threading.Lock()
        self.shared.counters.forget_parent()
        self.shared.contexts = TlsContexts()  # one may have been about to be made
        self.repeats.budget.forget_parent()
        for once in (self._template, *self._capabilities.values()):
            once.forget_parent()
        self.sessions.forget_parent()

    def ask_through(self, ask: Callable[[], ServerCapabilities]) -> None:
        """Let the template ask the site by *ask*, a method that makes a call on a connection.

        It is held weakly: the owner of the prototype holds the prototype.
        """
        self._ask = weakref.WeakMethod(ask)

    def ask_capabilities(self) -> ServerCapabilities:
        """Ask what the site is and can do, on a connection of the owner."""
        ask = self._ask()
        if ask is None:
            raise RuntimeError("the site was not asked yet, and its executor or pool is gone")
        return ask()

    @property
    def must_ask_factory(self) -> bool:
        """Whether it is not known yet what the clients are, because the factory was not called."""
        return not self._template.known

    @property
    def host(self) -> str:
        """The host of the site, for reprs: the URL may hold a password."""
        if self.must_ask_factory:
            return "a site unknown before the first call"
        config = getattr(self.template, "config", None)
        return str(getattr(config, "server", None) or "a stand-in")

    @property
    def client_class(self) -> type:
        """The class of the clients, as the user knows it."""
        return own_class(type(self.template))

    def new_client(self) -> tuple[Any, Settings]:
        """A client for a new connection, and the settings that it starts with."""
        template = self.template
        if self._factory is None:
            settings = read_settings(template)  # first: what changes meanwhile is carried later
            return clone(template, self._connection_class(self.client_class)), settings
        with self._settings_lock:
            product, self._first_product = self._first_product, None
        if product is None:
            product = self._new_product()
        if isinstance(product, Shotgun):
            product.__class__ = self._connection_class(own_class(type(product)))
        elif self.plan is not None:
            raise TypeError(
                f"dry_run needs clients that are a Shotgun, factory returned a "
                f"{type(product).__name__}, whose writes cannot be held back"
            )
        # From here on it follows what is changed; what it came with is its own.
        return product, Settings(dict(self._original.attributes), dict(self._original.config))

    def _connection_class(self, cls: type) -> type:
        return connection_class(cls, dry=self.plan is not None)

    def capabilities(
        self, host: str, ask: Callable[[], ServerCapabilities], switch: AbortSwitch
    ) -> ServerCapabilities:
        """What the site is and can do, asked with *ask* unless it is known.

        Whoever waits for another thread to ask is woken by its *switch*.
        """
        known = usable_capabilities(self.template, host)
        if known is None:
            with self._settings_lock:
                once = self._capabilities.setdefault(host, Once())
            known = once.get(ask, lambda done: switch.wait(done, None))
            with self._settings_lock:
                keep_capabilities(self.template, known)
        return known

    def refresh(self, connection: Connection) -> None:
        """Bring the settings of *connection* up to date with the template."""
        template, client = self.template, connection.client
        if not isinstance(template, Shotgun) or not isinstance(client, Shotgun):
            return  # a stand-in such as Mockgun keeps its own settings
        if not connection.settings.are_those_of(template):
            with self._settings_lock:
                connection.settings = carry_over(connection.settings, template, client)
        carry_server_info(template, client)

    def share_session_token(self, before: Optional[str], token: Optional[str]) -> None:
        """Give all connections the session token that one was given during a call.

        ``get_session_token`` and ``download_attachment`` ask for one where there is none, and
        wrappers renew theirs; the other connections then need not ask again.

        Args:
            before: The token that the connection had before; a shared one that is another is
                newer, and stays.
            token: The token that it has now.
        """
        config = self.template.config
        with self._settings_lock:
            if config.session_token == before:
                config.session_token = token

    def session_token(self) -> Optional[str]:
        """The session token that all connections share."""
        token: Optional[str] = self.template.config.session_token
        return token or None

    def ask_session_token(
        self, expired: Optional[str], ask: Callable[[], str], switch: AbortSwitch
    ) -> str:
        """The session token that all share, unless it is *expired*; else from *ask*, once."""

        def make() -> str:
            token = ask()
            self.share_session_token(expired, token)
            return token

        return self.sessions.newer(expired, self.session_token, make, switch)

    def sign_in(self, connection: Connection) -> None:
        """Trade a one-time code for a session token, once for all connections.

        As the constructor of ``Shotgun`` does, but at the first call rather than when the client
        is made.
        """
        config: Any = getattr(self.template, "config", None)
        if getattr(config, "auth_token", None) is None or self.sessions.led_here:
            return

        def token() -> Optional[str]:
            return self.session_token() if config.auth_token is None else None

        self.sessions.newer(
            None, token, lambda: self._use_auth_token(connection), connection.switch
        )
        self.refresh(connection)

    def _use_auth_token(self, connection: Connection) -> str:
        config = self.template.config
        code: str = config.auth_token
        if self._refused_code is not None and self._refused_code[0] == code:
            raise same_error(self._refused_code[1])  # wrong codes may lock an account
        try:
            token: str = connection.client.get_session_token()
        except Fault as error:
            self._refused_code = code, bare_error(error)
            raise
        with self._settings_lock:
            config.session_token = token
            config.user_login = config.user_password = config.auth_token = None
        return token


def run_privately(
    prototype: Prototype, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """``function(client, *args, **kwargs)`` on a connection that nobody else ever uses.

    For what changes the identity of a client while it runs: nothing of it may stay behind.
    """
    connection = Connection(prototype)
    connection.lent = True
    try:
        return function(connection.prepare(), *args, **kwargs)
    finally:
        connection.close()
