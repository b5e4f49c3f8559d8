"""The driver: inputs to one node, its outputs, one timer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from rapid.errors import StateError
from rapid.log import log
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol.messages import Header, Message
from rapid.protocol.outputs import (
    Check,
    Discover,
    Event,
    Installed,
    Notify,
    Output,
    Rejected,
    Reply,
    Send,
)
from rapid.runtime.discovery import Discovery, patience
from rapid.runtime.options import Options
from rapid.runtime.reactor import reactor
from rapid.runtime.transport import Transport

if TYPE_CHECKING:
    from rapid.runtime.prober import Checks


def promise() -> Future[Any]:
    """A future that a waiter cannot cancel, so that its result can always be set."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


class Core(Protocol):
    """What a driver drives: the node. ``now`` is in monotonic seconds and never goes backwards."""

    @property
    def node_id(self) -> NodeId: ...
    @property
    def stats(self) -> Counter[str]: ...

    def start(self, now: float) -> None: ...
    def join(self, seeds: Sequence[Endpoint], now: float) -> None: ...
    def discovered(self, seeds: Sequence[Endpoint], now: float) -> None: ...
    def force_new_cluster(self, now: float) -> None: ...
    def leave(self, now: float) -> None: ...
    def receive(self, message: Message, now: float, reply_to: Hashable | None = None) -> None: ...
    def refusal(self, header: Header) -> str | None: ...
    def send_failed(self, endpoint: Endpoint, now: float, *, refused: bool) -> None: ...
    def checked(
        self, endpoint: Endpoint, node_id: NodeId, sequence: int, passed: bool, now: float
    ) -> None: ...
    def wake(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
    def drain(self) -> list[Output]: ...


class Driver:
    """Runs a node off the application's thread until :meth:`stop`, or until the node raises.

    ``make(me, rng)`` builds the node once the port is known; ``happened(event)`` is called for each
    of its events, ``ended(error)`` once, at the end, with what the node raised or None. All three
    are called on the driver's thread and must not block; so is ``prober``, for each :class:`Check`.
    """

    def __init__(
        self,
        make: Callable[[Endpoint, random.Random], Core],
        options: Options,
        happened: Callable[[Event], None],
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._make = make
        self._options = options
        self._counts: Counter[str] = Counter()
        self._discovery = (
            Discovery(
                options.seeds, patience(options.settings), self._counts,
                # a certificate names what was dialled, not what that resolves to
                as_written=options.tls is not None and options.tls.server_name is None,
            )
            if options.seeds is not None
            else None
        )  # fmt: skip
        self._discovering: asyncio.Task[None] | None = None
        self._known_as: Endpoint | None = None
        self._seeds: Sequence[Endpoint] = ()
        self._happened = happened
        self._ended = ended
        self._stopping = asyncio.Event()
        self._error: BaseException | None = None
        self._core: Core | None = None
        self._checks: Checks | None = None
        if options.prober is not None:
            from rapid.runtime.prober import Checks

            self._checks = Checks(options.prober, options.settings.probe_timeout, self._checked, self._counts)
        self._transport: Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._finished: Future[None] = promise()
        self._bound: Future[Endpoint] = promise()
        self._reactor = reactor()
        self._loop = self._reactor.enter(self._lost)

    def start(self, listen: Endpoint, advertise: Endpoint | None) -> Future[Endpoint]:
        """Start; the result is the endpoint that the node is known by. Exactly once.

        It fails with :class:`BindError` when the port cannot be taken and with :class:`TLSError` when
        the certificates are no good; the driver has ended then.
        """
        asyncio.run_coroutine_threadsafe(self._main(listen, advertise), self._loop)
        return self._bound

    def join(self) -> None:
        """Look the seeds up and make the node join through them; found a cluster without any. Any thread."""
        if self._discovery is None:
            self.call(lambda: self._turn(lambda core, now: core.start(now)))
        else:
            self.call(lambda: self._look_up(lambda core, seeds, now: core.join(seeds, now)))

    def force_new_cluster(self) -> None:
        """Make the node go on with whom it reaches; it must be a member. Any thread."""
        self.call(lambda: self._turn(lambda core, now: core.force_new_cluster(now)))

    def leave(self) -> None:
        """Make the node leave; it says ``Left`` when that is over. Any thread."""
        self.call(self._leave)

    def stop(self, within: float = 0.0) -> Future[None]:
        """End, after so many seconds; the result is there when the port is free.

        Any thread, any number of times: the first end is the one that counts.
        """
        self.call(lambda: self._stop(within))
        return self._finished

    def counts(self) -> Counter[str]:
        """A copy of the counters of the node and the transport. Any thread."""
        core = self._core
        # a copy of a dict is atomic under the interpreter's lock, a sum of two is not
        return Counter(dict(self._counts)) + Counter(dict(core.stats) if core is not None else {})

    def count(self, what: str) -> int:
        """Add one to a count of :meth:`counts`, and return it. The driver's thread."""
        self._counts[what] += 1
        return self._counts[what]

    def troubles(self) -> list[str]:
        """What is known of seeds that cannot be had, for messages to people. The driver's thread."""
        found = self._discovery.troubles() if self._discovery is not None else {}
        for seed in self._seeds:
            if self._transport is not None and (trouble := self._transport.trouble(seed)):
                found.setdefault(str(seed), trouble)
        return [f"{what}: {trouble}" for what, trouble in found.items()]

    def call(self, function: Callable[[], object]) -> None:
        """Run a function on the driver's loop, soon; not after the end. Any thread."""
        if not self._finished.done():
            self._loop.call_soon_threadsafe(function)

    # the rest runs on the driver's thread

    async def _main(self, listen: Endpoint, advertise: Endpoint | None) -> None:
        try:
            await self._serve(listen, advertise)
        except BaseException as error:
            self._error = self._error or error
            if self._bound.done():
                log.exception("the member failed and is closed", listen=str(listen))
        finally:
            self._reactor.leave(self._lost)
            self._end()

    def _lost(self, error: BaseException) -> None:
        """The loop has failed, and runs nothing any more."""
        self._error = self._error or error
        self._end()

    def _end(self) -> None:
        if not self._bound.done():
            self._bound.set_exception(self._error or StateError("the member was closed before it listened"))
        self._ended(self._error)
        self._finished.set_result(None)

    async def _serve(self, listen: Endpoint, advertise: Endpoint | None) -> None:
        options = self._options
        transport = Transport(
            options.settings, self._received, self._send_failed, self._counts, options.tls, self._refusal
        )
        self._transport = transport
        try:
            me = await transport.bind(listen)
            if advertise is not None:
                me = Endpoint(advertise.host, advertise.port or me.port)
            self._known_as = me
            self._core = self._make(me, random.Random(random.SystemRandom().getrandbits(128)))
            await transport.serve(me)
            self._bound.set_result(me)
            await self._stopping.wait()
        finally:
            for timer in (self._timer, self._limit):
                if timer is not None:
                    timer.cancel()
            if self._discovering is not None:
                self._discovering.cancel()
            if self._discovery is not None:
                self._discovery.close()
            if self._checks is not None:
                await self._checks.close()
            await transport.close()

    def _leave(self) -> None:
        if self._discovering is not None:
            # one that leaves looks for no cluster
            self._discovering.cancel()
        self._turn(lambda core, now: core.leave(now))

    def _stop(self, within: float) -> None:
        if within <= 0:
            self._stopping.set()
        elif self._limit is None:
            self._limit = self._loop.call_later(within, self._stopping.set)

    def _received(self, messages: list[Message], token: Hashable) -> None:
        def receive(core: Core, now: float) -> None:
            for message in messages:
                core.receive(message, now, token)

        self._turn(receive)

    def _refusal(self, header: Header) -> str | None:
        assert self._core is not None, "the node exists before anything is received"
        return self._core.refusal(header)

    def _send_failed(self, endpoint: Endpoint, refused: bool) -> None:
        self._turn(lambda core, now: core.send_failed(endpoint, now, refused=refused))

    def _checked(self, member: Member, sequence: int, passed: bool) -> None:
        self._turn(lambda core, now: core.checked(member.endpoint, member.node_id, sequence, passed, now))

    def _look_up(self, then: Callable[[Core, Sequence[Endpoint], float], None]) -> None:
        """Have the seeds looked up, unless that is under way, and tell the node."""
        if self._discovery is not None and (self._discovering is None or self._discovering.done()):
            self._discovering = self._loop.create_task(self._discover(then))

    async def _discover(self, then: Callable[[Core, Sequence[Endpoint], float], None]) -> None:
        assert self._discovery is not None
        assert self._known_as is not None, "a node looks for seeds once it is bound"
        self._seeds = seeds = await self._discovery.addresses(self._known_as)
        log.debug("seeds looked up", local=str(self._known_as), seeds=[str(seed) for seed in seeds])
        self._turn(lambda core, now: then(core, seeds, now))

    def _turn(self, step: Callable[[Core, float], None]) -> None:
        """One input to the node, then all that it wants done."""
        core = self._core
        if core is None or self._stopping.is_set():
            return
        try:
            step(core, self._loop.time())
            for output in core.drain():
                self._do(output)
            self._arm(core.deadline())
        except BaseException as error:
            # the node is in no state to go on from; the application is told by ended()
            log.exception("the member failed and is closed", node_id=str(core.node_id))
            self._error = error
            self._stopping.set()

    def _do(self, output: Output) -> None:
        assert self._transport is not None, "the node exists after the transport"
        match output:
            case Send(to, message):
                self._transport.send(to, message)
            case Reply(token, message):
                self._transport.reply(token, message)
            case Notify(Rejected(reason, sender)):
                log.debug("a message was rejected", reason=reason, sender=sender and str(sender))
            case Notify(event):
                if self._checks is not None and isinstance(event, Installed):
                    self._checks.forget_strangers(event.configuration)
                self._happened(event)
            case Discover():
                self._look_up(lambda core, seeds, now: core.discovered(seeds, now))
            case Check(member, sequence):
                assert self._checks is not None, "a node says Check only when there is a prober"
                self._checks.begin(member, sequence)

    def _arm(self, deadline: float | None) -> None:
        """Have the timer fire at the deadline or earlier: it then sets itself anew."""
        timer = self._timer
        if deadline is None or (timer is not None and timer.when() <= deadline):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        core = self._core
        assert core is not None, "only a node's deadline sets the timer"
        deadline = core.deadline()
        if deadline is not None and deadline > self._loop.time():
            self._arm(deadline)
        else:
            self._turn(lambda core, now: core.wake(now))
