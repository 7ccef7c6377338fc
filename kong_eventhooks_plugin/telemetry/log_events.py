"""Every event of the log, by name: docs/log-events.md is generated from here.

``python -m kong_eventhooks_plugin.telemetry.log_events`` prints the page.
"""

from collections.abc import Mapping
from typing import Final

LOG_EVENTS: Final[Mapping[str, str]] = {
    "address_in_use": "The address of `setting` is in use; the worker waits until it is free.",
    "admin_paths_unavailable": "Changes from the Admin API's route wait until Kong's list of paths can be read.",
    "admin_plugins_failed": "The Admin API's plugins could not be read because of a bug; the next poll tries again.",
    "api_call_failed": "A REST call failed because of a bug; `error` is the exception's type, `raised_at` the place.",
    "api_call_rejected": "A REST call was rejected: the store is unavailable or full. `suppressed`: lines left out.",
    "api_connections_limited": (
        "The address `setting` has `limit` connections, its maximum; new ones close those that have been idle longest."
    ),
    "api_accept_failed": "A connection to the address `setting` could not be accepted; tried again.",
    "api_hooks_refresh_failed": "Hooks that another process over the same store made could not be read; tried again.",
    "api_hooks_shadowed": "`hooks` definitions that the API made are dropped: they are declared elsewhere now.",
    "api_listening": "The REST API, the console, the health pages and /metrics are served on `port`.",
    "api_tls_handshake_failed": "A caller of `setting` and the API did not agree on TLS; `reason` is OpenSSL's.",
    "attempt_failed": "An attempt of a delivery failed; the next one is due at `due_at`.",
    "attempt_unsettled": "An attempt ended because of a bug before its outcome was recorded; it is delivered again.",
    "background_task_failed": "A task ended because of a bug.",
    "cascade_limit_reached": "A delete removed too many entities to report at once; a reconciliation reports the rest.",
    "certificate_unreadable": "A certificate cannot be parsed and is skipped.",
    "change_deferred": "A change that the route saw could not be reported at once; the next reconciliation finds it.",
    "change_lost": "A change could not be published because of a bug and is dropped.",
    "changes_not_drained": (
        "A process ended before it had processed what the route saw. The next reconciliation finds these changes, "
        "without their actor; the next process publishes what is in the outbox."
    ),
    "change_store_unavailable": "Changes of the route wait: the mirror's store fails; `error`: the exception's type.",
    "checkpoint_unreadable": "A poller's checkpoint cannot be read; the poller starts from nothing.",
    "claim_failed": "Due deliveries could not be claimed from the queue.",
    "console_login": "Somebody logged in to the console with the admin token (`address`).",
    "console_login_refused": (
        "A login to the console was refused: the token is wrong, or too many from this `address` were."
    ),
    "damaged_file_moved": "A file that SQLite cannot read was moved aside as `*.damaged` and is created anew.",
    "declarative_file_invalid": "A declarative file has errors; its last valid hooks stay active.",
    "declarative_file_loaded": "Hooks were loaded from a declarative file.",
    "delivery_discarded": "A delivery became a dead letter: it can never be delivered.",
    "delivery_exhausted": "A delivery became a dead letter: its attempts are used up.",
    "delivery_failing": "A delivery has failed four times and is retried.",
    "delivery_handed_over": "Another server took the socket over; this worker no longer delivers.",
    "delivery_lease_acquired": (
        "This process delivers from now on. Where nodes share the store: it does what one of them is to do."
    ),
    "delivery_lease_lost": "Another process does so.",
    "delivery_lease_release_failed": "The delivery lease was not released; another process waits until it expires.",
    "delivery_lease_renewal_failed": "The delivery lease could not be taken or renewed.",
    "delivery_recovered": "A delivery that had failed several times was delivered.",
    "delivery_share_changed": (
        "Hooks moved between nodes: this one delivers `hooks` of those that it knows, `gained` and `lost` among them."
    ),
    "descriptor_limit_raised": "The process may have `limit` open files, the hard limit; `before` is the soft one.",
    "descriptors_scarce": (
        "The limit on open files (`limit`) is small: each part may have only as many connections as the line says."
    ),
    "entity_path_ambiguous": "A path of the Admin API names several known entities; the reconciliation decides.",
    "event_lost": "An event could not be accepted (`reason`); `suppressed` counts such lines that were left out.",
    "events_not_accepted": "The queue did not accept a poller's events; tried again.",
    "filter_failed": "A hook's filter could not be evaluated for an event; the hook does not fire.",
    "filters_failed": "Filters could not be evaluated (`reason`); the hooks fire.",
    "forwarded_change_superseded": (
        "A change that another node saw is no event of its own: its entity was changed again, or deleted, before it "
        "was read."
    ),
    "forwarded_changes_failed": "Changes that nodes without `admin_url` saw wait in the shared store; tried again.",
    "gateway_store_open_failed": "`gateway.db` cannot be opened; tried again.",
    "grpc_call_failed": "A gRPC call failed because of a bug; `error` is the exception's type, `raised_at` the place.",
    "grpc_call_rejected": "A gRPC call was rejected: the store is unavailable or full. `suppressed`: lines left out.",
    "grpc_listening": "The gRPC API is served on `port`.",
    "handler_failed": "A handler raised because of a bug; the attempt counts as failed.",
    "heartbeat_failed": "This node could not say that it lives to the store that nodes share; tried again.",
    "hook_added": "A hook was added.",
    "hook_changed": "A hook was changed.",
    "hook_compilation_failed": "A hook's template, function or filter does not compile.",
    "hook_definitions_write_failed": "Hook definitions could not be stored; tried again.",
    "hook_disabled": "A hook was disabled: its endpoint is gone or keeps failing; its deliveries stay pending.",
    "hook_enabled": "A hook that had been disabled for its endpoint delivers again.",
    "hook_listener_failed": "A part of the worker raised when hooks changed.",
    "hook_removed": "A hook was removed.",
    "kong_error_log_unwritable": "Lines cannot be appended to `kong_error_log`; Kong writes them at its next request.",
    "lambda_output": "What a hook's Lua function writes.",
    "lease_lost": "An outcome arrived for a delivery whose lease is not held any more; it changes nothing.",
    "list_skipped": "Reconciliations leave out a list of the Admin API (info where Kong refuses it, else warning).",
    "log_handler_output": "What a `log` hook writes; a handler's text must not be the event's name.",
    "loop_crashed": "The `loop` ended because of a bug and starts again.",
    "mirror_drop_failed": "The mirror could not be dropped while no hook needs it; tried again.",
    "mirror_key_replaced": "The key of the mirror's digests has a wrong size and is replaced.",
    "node_gone": "A node has sent no heartbeat for `seconds`: its hooks move, what it had leased is sent again.",
    "node_joined": "Another node shares the store.",
    "node_left": "Another node has stopped, and its hooks move.",
    "node_taken_for_gone": "Another node took this one for gone, and the hooks of this one moved meanwhile.",
    "on_delivery_failed": "The callback of the demo's receiver raised.",
    "outbox_publishing_failed": "Changes in the outbox could not be published; tried again.",
    "outbox_publishing_resumed": "Changes in the outbox are published again.",
    "outcome_dropped": "The outcome of a delivery could not be written because of a bug; it is delivered again.",
    "outcomes_unwritten": "The process exits before all outcomes are written; those deliveries are delivered again.",
    "outcomes_write_failed": "Outcomes of attempts could not be written; tried again.",
    "own_event_lost": "The queue did not accept an event of the source event-hooks for long; it was dropped.",
    "part_close_failed": "A part could not be closed when the worker stopped.",
    "ping_dropped": "A ping was dropped; `reason` is `too_many_waiting` or `unresolved_reference`.",
    "ping_failed": "A ping did not reach its endpoint; `error` and `detail` say why.",
    "ping_postponed": "A ping waits until a reference in the hook has a value.",
    "ping_sent": "A ping reached its endpoint.",
    "ping_skipped": "A ping is left to the process that delivers.",
    "plugin_documents_write_failed": "The documents for Kong's `query_cmd` could not be written beside the socket.",
    "plugin_socket_error": "An error on the plugin socket, of the kind `reason`.",
    "poll_failed": "A poller could not read Kong; tried again. `outcome` is `unanswered`, `failed` or `bug`.",
    "poll_lease_renewal_failed": (
        "The shared store was not asked who polls Kong for all nodes; this node stops in time where it was the one."
    ),
    "polling_lock_failed": "The lock by which the processes of one node take turns in polling Kong cannot be taken.",
    "poll_recovered": "A poller reads Kong again.",
    "queue_poll_failed": "Due deliveries could not be read from the queue.",
    "reconciliation_failed": "A reconciliation with the Admin API was not completed.",
    "reconciliation_finished": "A reconciliation ended; `outcome`, `seconds` and `entities` say how.",
    "reconciliation_recovered": "Reconciliations are completed again.",
    "reload_requested": "SIGHUP arrived; a new worker replaces the one that serves.",
    "removed_hook_cleanup_failed": "Pending deliveries of a removed hook could not be ended.",
    "removed_hook_deliveries_dead": "Pending deliveries of a removed hook became dead letters.",
    "replacement_worker_failed": "A new worker ended before it was ready; the old one continues to serve.",
    "response_bodies_dropped": (
        "The limit on kept requests and answers is reached (`keep_answer_bytes`); attempts are kept without them."
    ),
    "retention_sweep_failed": "Old deliveries and events could not be deleted; tried again.",
    "retention_swept": "Old deliveries, events and suppression states were deleted (`rows`).",
    "sandbox_feature_unused": "The sandbox does without a `feature` of the kernel, for the `reason`.",
    "running_as_root": "The sidecar runs as root and needs none of its rights: run it as a user of its own.",
    "sandbox_worker_exited": (
        "A sandbox process ended while it worked on a task. The `reason` `syscall` (level error) means that it made a "
        "system call that no code of the sandbox makes: look at the hook `hook_id`."
    ),
    "sandbox_worker_start_failed": "A sandbox process did not start.",
    "schema_cache_unreadable": "Kong's schemas that were kept on disk cannot be read; they are fetched again.",
    "schema_cache_write_failed": "Kong's schemas could not be written to disk.",
    "schema_fetch_failed": "Kong does not answer with a schema now.",
    "schema_limit_reached": "Kong has more schemas than are kept; `path` is not fetched.",
    "schema_unknown": "An entity's schema is not known; fields that may hold a secret are masked.",
    "secret_file_unreadable": "A file of a hook (a secret, a key) has no value (`error`); its deliveries wait for one.",
    "settings_invalid": "The worker does not start because a setting is unknown or has a wrong value.",
    "settlement_failed": "A batch of outcomes could not be written because of a bug; each is tried alone.",
    "settlement_listener_failed": "What follows the end of a batch of outcomes raised because of a bug.",
    "shadowed_hooks_not_deleted": "Stored hooks that are declared elsewhere could not be deleted; tried again.",
    "shared_store_open": "The store that nodes share is open; what this node has accepted moves there.",
    "shared_store_open_failed": "The store that nodes share cannot be opened; tried again. Events are accepted.",
    "shared_store_went_back": "The shared store has less of this node's events than it had (an older backup, a "
    "failover); they are moved again. `had` and `has` are places in the spool.",
    "socket_rebind_failed": "The socket's path was removed and cannot be bound again.",
    "socket_rebound": "The socket's path had been removed and was bound again.",
    "socket_taken_over": "Another server has bound the socket's path.",
    "socket_unserved": (
        "Nobody listened on the plugin socket for `seconds` before this start; `ended` says how the listener before "
        "ended: `stopped` (info), `supervisor killed` or `killed` (warning)."
    ),
    "span_export_failed": "The collector of `otlp_endpoint` took no spans; they are dropped and counted until it does.",
    "span_export_recovered": "The collector takes spans again.",
    "spans_unsent": "The process ended before all spans were sent.",
    "spool_forwarding_failed": "What this node has accepted does not get to the shared store; tried again. "
    "`suppressed`: lines left out.",
    "spool_sweep_failed": "What the spool keeps no longer could not be deleted; tried again.",
    "spooled_event_refused": "A spooled event cannot be read, or the shared store refuses it for good; it is lost.",
    "store_close_incomplete": "The store was closed while operations waited; they failed.",
    "store_checkpoint_failed": "The store's log could not be copied into its file; it grows until that succeeds.",
    "store_locked": "Another process holds the store's lock; `seconds` so far.",
    "store_open_failed": "The store cannot be opened; the worker tries again, and events are lost meanwhile.",
    "store_recovered": "The store commits again.",
    "store_rollback_failed": "A failed transaction could not be rolled back.",
    "store_upgraded": "The store's schema is `now` instead of `was`: an older sidecar cannot open it any more.",
    "store_unavailable": "A transaction failed: disk full, file locked or damaged; with a traceback where it is a bug.",
    "supervisor_started": "The supervisor holds the plugin socket and starts a worker.",
    "supervisor_stopped": "The supervisor exits; `restarts` counts the workers that had crashed.",
    "supervisor_stopping": "The supervisor stops; workers have `drain_seconds` to end.",
    "upstream_health_unreadable": "Kong did not report the health of an upstream.",
    "work_listener_failed": "A listener for pending deliveries raised because of a bug.",
    "worker_crashed": (
        "A worker ended by itself; `next` says what follows: `restart` after `retry_in` seconds, "
        "`replacement_starting` or `none`."
    ),
    "worker_draining": "The worker ends its calls and deliveries in progress.",
    "worker_exited": "A drained worker has exited.",
    "worker_killed": (
        "A worker was killed; `reason`: it did not become ready (`start_timeout`) or drain (`drain_timeout`) in time, "
        "or did not answer for `seconds` (`unresponsive`)."
    ),
    "worker_ready": "A worker serves the plugin socket; `seconds` since its start.",
    "worker_serving": "The worker accepts calls of Kong's on the plugin socket.",
    "worker_start_failed": "The system refused to start a worker.",
    "worker_stalled": "The event loop was held up for `seconds`; Kong's calls waited meanwhile.",
    "worker_started": "A worker process was started.",
    "worker_stopped": "The worker has ended its calls and deliveries and exits.",
}

_HEAD: Final = """# Log events

Each log line is one event: `event` is its name, the other fields are its details. The names are stable: search for one,
or alert on it. A hook's own output is the field `text` of `log_handler_output` and `lambda_output`.

Generated from the code by `make docs`; do not edit.

| event | description |
|---|---|
"""


def page() -> str:
    return _HEAD + "".join(f"| `{name}` | {text} |\n" for name, text in sorted(LOG_EVENTS.items()))


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
