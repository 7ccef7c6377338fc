"""A worker: runs what ``components`` has made, from the first connection to the last delivery, and ends it in order.

Limit of its own: the store has ``OPENING_SECONDS`` to open before Kong is served without it. What hooks of files and of
Kong match is then counted as lost until it opens (``store_unavailable``), and what no such hook matches, too
(``starting``): a hook in the store may want it.
"""

import asyncio
import contextlib
import faulthandler
import os
import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin import settings_groups as groups
from kong_eventhooks_plugin.api.grpc.serve import run_grpc
from kong_eventhooks_plugin.api.rest.app import rest_app
from kong_eventhooks_plugin.api.rest.health import health_routes
from kong_eventhooks_plugin.api.rest.serve import run_rest
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.transport.listener import Listener
from kong_eventhooks_plugin.background import SupervisedLoop, TaskSet, cancel, retry
from kong_eventhooks_plugin.components import Components
from kong_eventhooks_plugin.descriptors import UNLIMITED, descriptor_limit
from kong_eventhooks_plugin.errors import QueueError, SettingsError
from kong_eventhooks_plugin.hooks.declarations.file_watcher import FileWatcher
from kong_eventhooks_plugin.interpreter import collect_seldom, take_short_turns
from kong_eventhooks_plugin.kong.plugin_server.documents import write_documents
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.kong.plugin_server.worker_link import WorkerLink
from kong_eventhooks_plugin.kong.supervisor.parent import ParentMonitor
from kong_eventhooks_plugin.kong.supervisor.worker_process import EXIT_SETTINGS
from kong_eventhooks_plugin.linux import refuse_inspection
from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor
from kong_eventhooks_plugin.queue.retention import run_retention
from kong_eventhooks_plugin.settings import load
from kong_eventhooks_plugin.storage.data_directory import claim as claim_data_directory
from kong_eventhooks_plugin.storage.turn import Turn
from kong_eventhooks_plugin.telemetry import logs
from kong_eventhooks_plugin.telemetry.loop_stalls import LoopStalls

OPENING_SECONDS = 2.0
NOTE_SECONDS = 1.0
"""How long a stopping worker waits until its note on the socket is written: the disk may hang."""

log = structlog.get_logger()


def run_worker(flags: Mapping[str, Any], settings_file: Path | None, fd: int, link: int | None) -> int:
    """Run the worker until it is stopped; return its exit status.

    On SIGABRT, with which the supervisor ends a worker that does not answer, it prints where its threads stand.

    ``fd`` is the listening socket's descriptor, ``link`` the one to the supervisor.
    """
    refuse_inspection()
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # there is no standard error
        faulthandler.enable()
    try:
        settings = load(flags, settings_file)
        logs.configure(settings.log_format, settings.log_level)
        # For as long as this process runs.
        claim_data_directory(Path(settings.data_dir), settings.socket_path, settings.kong_yml)
        parts = Components(settings)
    except SettingsError as error:
        log.error("settings_invalid", error=str(error))
        return EXIT_SETTINGS
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(parts, socket.socket(fileno=fd), link))
    return 0


async def _run(parts: Components, listening: socket.socket, link: int | None) -> None:
    await Worker(parts, listening, link).run()


class Worker:
    """One worker process: starts the store, the plugin server, delivery and the APIs, and ends them in order.

    It is made on the loop.
    """

    def __init__(self, parts: Components, listening: socket.socket, link: int | None) -> None:
        self._parts = parts
        self._listening = listening
        self._link, self._supervisor = WorkerLink(link), ParentMonitor()
        self._tasks = TaskSet()
        self._polling: list[asyncio.Task[None]] = []
        self._apis: list[asyncio.Task[None]] = []
        self._shared_store_open = asyncio.Event()
        self._handlers = parts.handlers()
        self._delivery = parts.delivery(self._handlers, lambda: self._server.waiting)
        self._states = parts.hook_states(self._delivery)
        admin, turn = parts.admin_client(), Turn(Path(parts.settings.data_dir))
        polls = partial(_is_our_turn, turn, self._link)
        self._pollers = parts.pollers(admin, lambda: self._delivery.leading, polls, self._shared_store_open)
        self._plugins = None if admin is None else parts.plugin_poller(admin)
        self._record = parts.listening_record(listening, self._plugins)
        self._forwarder = parts.forwarder()
        self._changes = self._forwarder if self._pollers is None else self._pollers.crud
        self._server = parts.server(self._link, self._changes)
        self._follow_hooks()

    async def run(self) -> None:
        await self._start()
        await self._until_stopped()
        await self._stop()

    def _follow_hooks(self) -> None:
        parts, membership, pollers = self._parts, self._parts.members, self._pollers
        parts.registry.on_change(self._delivery.ping_changes)
        if membership is not None:
            parts.registry.on_change(lambda _: membership.hurry())
        parts.registry.on_change(parts.compilation.hooks_changed)
        if pollers is not None:
            parts.registry.on_change(pollers.hooks_changed)

    async def _start(self) -> None:
        parts, settings = self._parts, self._parts.settings
        if parts.shares != groups.shares(settings, UNLIMITED):
            log.warning("descriptors_scarce", limit=descriptor_limit(), **parts.shares._asdict())
        opening = self._tasks.run(self._open_store())
        files = settings.kong_yml
        # Files that are no longer set are withdrawn after the first read: a hook may have moved to another file.
        loaded = partial(parts.registry.set_files, files)
        self._tasks.run(FileWatcher(files, parts.validation, parts.registry.set_file, loaded=loaded).run())
        await asyncio.wait({opening}, timeout=OPENING_SECONDS)
        # Not before we have the socket, which another server may have had.
        write_documents(settings.socket_path, settings.protocol)
        await self._server.serve(self._listening)
        self._recording = self._tasks.run(self._record.run())
        self._serve_apis()
        self._tasks.run(parts.definition_writer.run())
        self._tasks.run(parts.compilation.run())
        delivery = self._delivery
        rounds = partial(parts.own_events.run, self._states.held, lambda: delivery.leading, delivery.delivers)
        self._tasks.run(SupervisedLoop("reporting of our own events").run(rounds))
        self._start_polling()
        parts.metrics.counts.worker_restarts["crashed",] = self._link.restarts.crashed
        parts.metrics.counts.worker_restarts["unresponsive",] = self._link.restarts.unresponsive
        self._link.ready()
        log.info(
            "worker_serving",
            version=__version__,
            socket=settings.socket_path,
            protocol=settings.protocol,
            pid=os.getpid(),
        )
        for feature, state in parts.sandbox_features.items():
            if state != "ok":
                log.warning("sandbox_feature_unused", feature=feature, reason=state)
        collect_seldom()
        take_short_turns()
        LoopStalls(parts.metrics.counts, asyncio.get_running_loop()).start()

    async def _open_store(self) -> None:
        """Open the store, however long it takes; then load what it holds and start what depends on it."""
        parts, stores = self._parts, self._parts.stores

        def failed(error: str) -> None:
            log.error("store_open_failed", error=error)

        await retry(stores.queue.open if stores.spool is None else stores.spool.open, (QueueError,), failed)
        # By itself: what is open is not opened again.
        stored = await retry(stores.declared.definitions, (QueueError,), failed)
        parts.registry.load(stored)
        parts.hook_store.load(stored)
        self._tasks.run(SupervisedLoop("reading of secret files").run(parts.registry.secret_files.run))
        if self._plugins is not None:
            self._polling.append(self._tasks.run(self._plugins.run()))
        if stores.spool is None:
            self._start_on_queue()
        else:
            self._tasks.run(self._open_shared_store(stores.spool))

    async def _open_shared_store(self, spool: SpoolAcceptor) -> None:
        """Meanwhile events are accepted, for the hooks that this node knows."""
        parts = self._parts
        await retry(parts.queue.open, (QueueError,), lambda error: log.error("shared_store_open_failed", error=error))
        log.info("shared_store_open")
        spool.forward()
        self._shared_store_open.set()
        parts.hook_store.hurry()  # what this node's copy has may be old
        self._start_on_queue()
        if parts.members is not None:
            await SupervisedLoop("heartbeat").run(parts.members.keep)

    def _start_on_queue(self) -> None:
        """Start what needs the queue, which is open now."""
        self._tasks.run(self._parts.hook_store.run())
        self._tasks.run(run_retention(self._parts.queue))
        if self._parts.settings.deliver:
            self._tasks.run(self._delivery.run())

    def _start_polling(self) -> None:
        """Start what reads Kong, or what follows a node that does."""
        holders, forwarder = self._parts.holders, self._forwarder
        if self._pollers is not None:
            self._polling.append(self._tasks.run(self._pollers.run()))
        elif forwarder is not None and holders is not None:
            for name, loop in (("poll lease holders", holders.run), ("change forwarding", forwarder.run)):
                self._polling.append(self._tasks.run(SupervisedLoop(name).run(loop)))

    def _serve_apis(self) -> None:
        parts, settings = self._parts, self._parts.settings
        service = parts.service(self._handlers, self._delivery, self._states)
        status = partial(parts.poller_status, self._pollers, self._forwarder, self._record, self._link)
        ready = parts.readiness(self._delivery, self._states, status)
        access = Access(parts.api_token, settings.api_hosts)
        pages = health_routes(ready.check, parts.metrics, ready.refresh, access)
        if settings.console:
            console = parts.console(service, access, self._delivery, ready)
            pages += console.routes()
            self._tasks.run(console.run())
        listener = Listener("listen", parts.shares.rest, parts.tls.rest)
        app = rest_app(service, access, parts.feed, known(), health=pages, calling=listener.calling)
        self._apis.append(self._tasks.run(run_rest(app, listener, settings.listen)))
        if settings.grpc_listen is not None:
            listener = Listener("grpc_listen", parts.shares.grpc, parts.tls.grpc)
            folder = Path(settings.data_dir)
            self._apis.append(self._tasks.run(run_grpc(service, access, listener, settings.grpc_listen, folder)))

    async def _until_stopped(self) -> None:
        """Wait for the end; a server that was taken over leaves delivery and the APIs to its successor at once."""
        drain = asyncio.create_task(self._link.drain.wait())
        taken_over = asyncio.create_task(self._link.taken_over.wait())
        await asyncio.wait({drain, taken_over}, return_when=asyncio.FIRST_COMPLETED)
        if taken_over.done() and not drain.done():
            await cancel(*self._apis)
            self._parts.lines.close()
            self._tasks.run(self._delivery.drain(self._parts.settings.drain_seconds))  # the end may come meanwhile
        await drain
        taken_over.cancel()

    async def _stop(self) -> None:
        """Take no more, let what began end for ``drain_seconds``, and note that nobody listens now."""
        await cancel(self._recording, *self._apis)
        # systemd signals the workers of a supervisor that was killed: the signal may come before the link's end, and
        # its end before we have another parent.
        orphaned = self._link.reason == "supervisor exited" or self._supervisor.exited()
        noted = self._tasks.run(self._record.stop("supervisor exited" if orphaned else "stopped"))
        self._server.stop_accepting()
        # Where the supervisor was killed, this is the last one open: whoever starts next needs the path now.
        self._listening.close()
        self._parts.lines.close()
        seconds = self._parts.settings.drain_seconds
        ends_at = time.monotonic() + seconds
        await asyncio.gather(self._server.drain(seconds), self._delivery.drain(seconds))
        if self._changes is not None:
            await self._changes.drain(max(1.0, ends_at - time.monotonic()))
        await cancel(*self._polling)
        if self._pollers is not None:
            await self._pollers.close()
        await asyncio.wait({noted}, timeout=NOTE_SECONDS)  # what is not done by now is cancelled next
        await self._close()
        self._link.close()
        log.info("worker_stopped", pid=os.getpid())

    async def _close(self) -> None:
        """End the tasks and close what was open, each before what it uses."""
        parts = self._parts
        await parts.definition_writer.flush()
        await parts.hook_store.close()
        await self._tasks.finish(0)
        for handler in self._handlers.values():
            await handler.close()
        await parts.pool.close()
        if parts.members is not None:
            await parts.members.leave("gone")
        if parts.stores.spool is not None:
            await parts.stores.spool.close()
        await parts.queue.close()
        if parts.span_export is not None:
            await parts.span_export.close()


def _is_our_turn(turn: Turn, link: WorkerLink) -> bool:
    """Return whether this process is the one of its node that polls; one that ends leaves that to its successor."""
    if link.taken_over.is_set() or link.drain.is_set():
        turn.end()
    return turn.taken()
