"""The composition root: makes every part of a worker and hands each what it needs of the others. Nothing runs yet.

``app`` runs them. What needs the event loop, or another part that only a running worker has, is made by a method.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kong_eventhooks_plugin import __version__, settings_files
from kong_eventhooks_plugin import settings_groups as groups
from kong_eventhooks_plugin.api.console.console import Console
from kong_eventhooks_plugin.api.rest.kept_page import KeptPage
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.feed import Feed
from kong_eventhooks_plugin.api.service.hook_states import HookStates
from kong_eventhooks_plugin.api.service.hook_store import ApiHookStore
from kong_eventhooks_plugin.api.service.nodes import deliverer
from kong_eventhooks_plugin.api.service.readiness import PollerStatus, ReadinessCheck
from kong_eventhooks_plugin.api.service.service import Service, make_service
from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.membership import Membership
from kong_eventhooks_plugin.delivery.waiting import waiting
from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.descriptors import descriptor_limit
from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.dispatch.event_spans import EventSpans
from kong_eventhooks_plugin.errors import MissingExtra, SettingsError
from kong_eventhooks_plugin.handlers.compile_check import compile_errors
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.http_client import HttpClient
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.hooks.in_force.compilation import Compilation
from kong_eventhooks_plugin.hooks.in_force.definition_writer import DefinitionWriter
from kong_eventhooks_plugin.hooks.in_force.plugin_poller import PluginPoller
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.kong.plugin_server.contract import ChangeObserver, PluginHost
from kong_eventhooks_plugin.kong.plugin_server.error_log_file import ErrorLogFile
from kong_eventhooks_plugin.kong.plugin_server.error_log_lines import LineBuffer
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.listening import ListeningRecord
from kong_eventhooks_plugin.kong.plugin_server.node_question import NodeQuestion
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known, plugin_info, plugin_names
from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer
from kong_eventhooks_plugin.kong.plugin_server.worker_link import WorkerLink
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.kong_node import NodeIdentity
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.sandbox.isolation import missing_features
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.settings import Settings, read_token
from kong_eventhooks_plugin.sources.catalogue import REQUEST_SOURCES
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD
from kong_eventhooks_plugin.sources.changes.forwarder import ChangeForwarder
from kong_eventhooks_plugin.sources.field_types import field_types
from kong_eventhooks_plugin.sources.own.publisher import OwnEvents
from kong_eventhooks_plugin.sources.poller_group import (
    PollerGroup,
    PollingCluster,
    has_change_subscribers,
    hooks_without_admin_api,
    lacks_admin_api,
)
from kong_eventhooks_plugin.sources.pollers.lease_holders import LeaseHolders
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.plugin_answers import read_plugin
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from kong_eventhooks_plugin.stores import make_stores
from kong_eventhooks_plugin.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from kong_eventhooks_plugin.telemetry.span_export import SpanExport


class Components:
    """Everything a worker is made of, wired; nothing runs yet. Raises ``SettingsError``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shares = groups.shares(settings, descriptor_limit())
        self.metrics = Metrics()
        log_file = settings.kong_error_log
        self.lines = LineBuffer(self.metrics.counts, None if log_file is None else ErrorLogFile(log_file))
        self.stores = make_stores(settings, self._count_refused)
        self.queue = self.stores.queue
        self.identity = NodeIdentity()
        self.definition_writer = DefinitionWriter(self.stores.declared)
        directories = settings.secret_file_directories
        self.validation = Validation(known(), directories)
        self.registry = HookRegistry(
            self.validation,
            self.definition_writer.persist,
            metrics=self.metrics,
            secret_directories=directories,
            tls=groups.endpoint_tls(settings),
        )
        self.sandbox_features = groups.sandbox_features(settings, missing_features())
        tasks = self.metrics.counts.sandbox_tasks
        self.pool = Pool(groups.sandbox_limits(settings), groups.lua_rules(settings), tasks)
        self.registry.on_change(self._index_line_writers)
        self.compilation = Compilation(
            self.pool, self.registry.hooks, self.registry.set_compile_error, field_types=field_types
        )
        self.feed = Feed()
        news = self.stores.news
        self.hook_store = ApiHookStore(self.registry, self.stores.made, lambda: news is None or news.listens)
        if news is not None:
            news.on_definitions(self.hook_store.hurry)
        self.plugins = ActivePlugins(read_plugin)
        self.span_export = self._span_export()
        self.dispatcher = Dispatcher(
            self.registry,
            self.stores.acceptor,
            self._sources(),
            self.metrics,
            time.time,
            pool=self.pool,
            accepted=self.feed.publish,
            spans=self._event_spans(),
            snoozed_logs_per_second=settings.snoozed_logs_per_second,
        )
        limits = groups.queue_limits(settings)
        self.own_events = OwnEvents(self.dispatcher.publish, self.registry.hooks, self.queue, limits, time.time)
        if self.stores.spool is not None:
            self.stores.spool.on_decided(self.dispatcher.decided)
        self.plugins.on_change(self.dispatcher.statuses_changed)
        self.admin_token = read_token(settings.admin_token_file, "admin_token_file")
        self.api_token = settings_files.api_token(settings)
        settings_files.check_addresses(settings, self.api_token)
        self.tls = settings_files.api_tls(settings)
        self._addresses = groups.address_rules(settings)
        self._proxy = groups.endpoint_proxy(settings)
        self.members = self._membership()
        polling = self.stores.polling
        self.holders = None if polling is None or settings.admin_url is not None else LeaseHolders(polling)
        self._poller_settings = (
            None if settings.admin_url is None else groups.poller_group_settings(settings, settings.admin_url)
        )

    def _count_refused(self, reason: str) -> None:
        self.metrics.counts.events_lost[reason,] += 1

    def _span_export(self) -> "SpanExport | None":
        """Return what sends spans; None, and nothing of it loaded, where tracing is off."""
        endpoint, headers = self.settings.otlp_endpoint, groups.otlp_headers(self.settings)
        if endpoint is None:
            return None
        try:
            from kong_eventhooks_plugin.telemetry.span_export import SpanExport, otlp_exporter
        except ModuleNotFoundError as error:
            raise SettingsError(str(MissingExtra("otlp_endpoint", "tracing"))) from error
        return SpanExport(otlp_exporter(endpoint, headers), self.metrics.counts)

    def _event_spans(self) -> EventSpans | None:
        export = self.span_export
        return None if export is None else EventSpans(export.record, self.settings.trace_sample_ratio, time.time)

    def _delivery_spans(self) -> DeliverySpans | None:
        return None if self.span_export is None else DeliverySpans(self.span_export.record)

    def handlers(self) -> dict[str, Handler]:
        """Return a handler for each name; call it on the loop, where their HTTP client lives."""
        limits = groups.client_limits(self.settings, self.shares.deliveries)
        client = HttpClient(self.metrics, self._addresses, limits, proxy=self._proxy)
        handlers: list[Handler] = [
            WebhookHandler(client, self.settings.kong_signature, self.pool),
            WebhookCustomHandler(client, self.pool, self.settings.kong_signature),
            LambdaHandler(self.pool, self.lines),
            LogHandler(self.lines),
        ]
        return {handler.name: handler for handler in handlers}

    def server(self, link: WorkerLink, changes: ChangeObserver | None) -> Any:
        """Return the plugin server for the protocol that is set; over ProtoBuf:1 its connections outlive the worker."""
        node = NodeQuestion(self.identity)
        host = PluginHost(
            requests=self.dispatcher, lifecycle=self.registry, lines=self.lines, changes=changes, node=node
        )
        instances = PluginInstances(time.time)
        connections, waiting = self.shares.plugin_socket, self.settings.max_waiting_calls
        infos = {name: plugin_info(name, self.settings.socket_path)["Plugins"][0] for name in plugin_names()}
        if self.settings.protocol == "msgpack":
            from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_adapter import KongPdkServer, close_adopted

            link.on_adopt(close_adopted)
            return KongPdkServer(host, self.metrics, instances, infos, max_connections=connections, max_waiting=waiting)
        return PluginServer(
            host, self.metrics, instances, infos, max_connections=connections, max_waiting=waiting, link=link
        )

    def _membership(self) -> Membership | None:
        """Return this node's place among those that share the store; None without such a store."""
        nodes = self.stores.nodes
        if nodes is None:
            return None
        deliver = self.settings.deliver
        return Membership(nodes, self._own_row, time.time, waiting(time.time), deliver=deliver)

    def _own_row(self) -> Node:
        spool = self.stores.spool
        return Node(
            process=this_process(),
            id="" if spool is None else spool.spool.id,
            name=socket.gethostname(),
            version=__version__,
            hooks=frozenset(hook.id for hook in self.registry.hooks().values() if hook.origin.place != "api"),
            kong=self.identity.node.id,
        )

    def delivery(self, handlers: Mapping[str, Handler], calls_waiting: Callable[[], int]) -> DeliveryWorker:
        return DeliveryWorker(
            self.queue,
            self.registry,
            handlers,
            self.metrics,
            groups.delivery_limits(self.settings),
            holder=this_process(),
            membership=self.members,
            spans=self._delivery_spans(),
            incidents=self.own_events,
            calls_waiting=calls_waiting,
        )

    def hook_states(self, delivery: DeliveryWorker) -> HookStates:
        checks = (self._does_not_compile, self._lacks_admin_api, self._filter_fails)
        return HookStates(self.registry, delivery, checks, partial(deliverer, self.members))

    def _does_not_compile(self, hook: Hook) -> str | None:
        error = self.registry.compile_error(hook)
        return None if error is None else f"invalid: {error}"

    def _lacks_admin_api(self, hook: Hook) -> str | None:
        if self.settings.admin_url is not None or not lacks_admin_api(hook, self._is_polled):
            return None
        return f"no_admin_api: the source {hook.source} needs the setting admin_url"

    def _is_polled(self, hook: Hook, source: str) -> bool:
        """Return whether another node polls a source for this one, and has the hook."""
        holder = None if self.holders is None else self.holders.holder(source)
        if holder is None or self.members is None:
            return False
        nodes = self.members.distribution.nodes
        return hook.origin.place == "api" or any(
            node.process == holder.process and hook.id in node.hooks for node in nodes
        )

    def _filter_fails(self, hook: Hook) -> str | None:
        error = self.dispatcher.filter_error(hook)
        return None if error is None else f"filter_failing: {error}"

    def service(self, handlers: Mapping[str, Handler], delivery: DeliveryWorker, states: HookStates) -> Service:
        return make_service(
            registry=self.registry,
            hook_store=self.hook_store,
            queue=self.queue,
            feed=self.feed,
            handlers=handlers,
            validation=self.validation,
            pool=self.pool,
            publish=self.dispatcher.publish,
            check=partial(compile_errors, self.pool, field_types=field_types),
            enable=delivery.enable,
            states=states,
        )

    def readiness(
        self, delivery: DeliveryWorker, states: HookStates, status: Callable[[], PollerStatus]
    ) -> ReadinessCheck:
        return ReadinessCheck(
            self.queue,
            self.registry,
            self.metrics,
            delivery,
            states,
            time.monotonic,
            time.time,
            status,
            self.sandbox_features,
            spool=self.stores.spool,
            members=self.members,
        )

    def console(self, service: Service, access: Access, delivery: DeliveryWorker, ready: ReadinessCheck) -> Console:
        return Console(
            service,
            access,
            delivery,
            self.registry.hooks,
            lambda: self.metrics.counts.held_back,
            KeptPage(ready.check, time.monotonic).get,
            known(),
            groups.queue_limits(self.settings),
            shared=self.stores.spool is not None,
        )

    def admin_client(self) -> AdminClient | None:
        """Return the process' only client of the Admin API; None without ``admin_url``."""
        url = self.settings.admin_url
        return None if url is None else AdminClient(AdminSettings(url=url, token=self.admin_token))

    def plugin_poller(self, client: AdminClient) -> PluginPoller:
        settings = self.settings
        return PluginPoller(
            client,
            self.registry,
            self.validation,
            self.plugins,
            settings.admin_poll_seconds,
            settings.admin_page_size,
            settings.admin_pause_factor,
        )

    def listening_record(self, listening: socket.socket, plugins: PluginPoller | None) -> ListeningRecord:
        directory = Path(self.settings.data_dir)
        return ListeningRecord(listening, directory, self.metrics, lambda: None if plugins is None else plugins.ours)

    def pollers(
        self,
        client: AdminClient | None,
        leads: Callable[[], bool],
        own_leads: Callable[[], bool],
        shared_store_open: asyncio.Event,
    ) -> PollerGroup | None:
        """Return the pollers of the sources, which close the client; None where there is none. Call it on the loop.

        ``leads``: this process leads; ``own_leads``: it is the one of its node that polls, where nodes share the store.
        """
        settings, hooks = self._poller_settings, self.registry.hooks
        if client is None or settings is None:
            return None
        publish, counts = self.dispatcher.publish, self.metrics.counts
        cluster = self._polling_cluster(shared_store_open)
        leads = leads if cluster is None else own_leads
        return PollerGroup(client, settings, publish, lambda: hooks().values(), counts, leads, self.identity, cluster)

    def _polling_cluster(self, is_open: asyncio.Event) -> PollingCluster | None:
        shared, news = self.stores.polling, self.stores.news
        if shared is None or news is None:
            return None
        return PollingCluster(shared, this_process(), socket.gethostname(), news.on_forwarded, is_open)

    def forwarder(self) -> ChangeForwarder | None:
        """Return what hands changes to other nodes; None where this node reads its own Admin API, or is alone."""
        shared, hooks = self.stores.polling, self.registry.hooks
        if shared is None or self.holders is None:
            return None
        subscribed = partial(has_change_subscribers, lambda: hooks().values())
        return ChangeForwarder(shared, self.holders, subscribed, self.metrics.counts)

    def poller_status(
        self,
        pollers: PollerGroup | None,
        forwarder: ChangeForwarder | None,
        listening: ListeningRecord,
        link: WorkerLink,
    ) -> PollerStatus:
        """Return what /readyz reports of the pollers, the plugin socket and the worker before."""
        if pollers is None:
            errors = list(hooks_without_admin_api(self.registry.hooks().values(), self._is_polled))
            state = {} if forwarder is None else {CRUD: forwarder.state()}
        else:
            errors, state = pollers.errors(), pollers.state()
        return PollerStatus((*errors, *listening.errors(), *link.errors()), state, listening.state())

    def _index_line_writers(self, _: object) -> None:
        hooks = self.registry.hooks().values()
        if self.settings.kong_error_log is None:
            self.lines.writers = {hook.id for hook in hooks if hook.handler in (LogHandler.name, LambdaHandler.name)}

    def _sources(self) -> list[RequestSource]:
        attribution = Attribution(groups.infer_rules(self.settings), self.plugins)
        percent = self.settings.rate_limit_approaching_percent
        return [source(attribution, percent) for source in REQUEST_SOURCES]
