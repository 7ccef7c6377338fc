import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HookState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOOK_STATE_UNSPECIFIED: _ClassVar[HookState]
    HOOK_STATE_ON: _ClassVar[HookState]
    HOOK_STATE_OFF: _ClassVar[HookState]
    HOOK_STATE_HELD: _ClassVar[HookState]

class SuppressionOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUPPRESSION_OUTCOME_UNSPECIFIED: _ClassVar[SuppressionOutcome]
    SUPPRESSION_OUTCOME_FIRES: _ClassVar[SuppressionOutcome]
    SUPPRESSION_OUTCOME_SNOOZED: _ClassVar[SuppressionOutcome]
    SUPPRESSION_OUTCOME_UNCHANGED: _ClassVar[SuppressionOutcome]
HOOK_STATE_UNSPECIFIED: HookState
HOOK_STATE_ON: HookState
HOOK_STATE_OFF: HookState
HOOK_STATE_HELD: HookState
SUPPRESSION_OUTCOME_UNSPECIFIED: SuppressionOutcome
SUPPRESSION_OUTCOME_FIRES: SuppressionOutcome
SUPPRESSION_OUTCOME_SNOOZED: SuppressionOutcome
SUPPRESSION_OUTCOME_UNCHANGED: SuppressionOutcome

class Hook(_message.Message):
    __slots__ = ("id", "name", "source", "event", "handler", "on_change", "snooze", "enabled", "tags", "filter", "config", "created_at", "updated_at", "declared_in", "scope", "state", "held", "delivered_by")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ON_CHANGE_FIELD_NUMBER: _ClassVar[int]
    SNOOZE_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    DECLARED_IN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_BY_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    source: str
    event: str
    handler: str
    on_change: bool
    snooze: int
    enabled: bool
    tags: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    config: _struct_pb2.Struct
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    declared_in: str
    scope: HookScope
    state: HookState
    held: str
    delivered_by: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., source: _Optional[str] = ..., event: _Optional[str] = ..., handler: _Optional[str] = ..., on_change: _Optional[bool] = ..., snooze: _Optional[int] = ..., enabled: _Optional[bool] = ..., tags: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., declared_in: _Optional[str] = ..., scope: _Optional[_Union[HookScope, _Mapping]] = ..., state: _Optional[_Union[HookState, str]] = ..., held: _Optional[str] = ..., delivered_by: _Optional[str] = ...) -> None: ...

class HookScope(_message.Message):
    __slots__ = ("service", "route", "consumer")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    service: str
    route: str
    consumer: str
    def __init__(self, service: _Optional[str] = ..., route: _Optional[str] = ..., consumer: _Optional[str] = ...) -> None: ...

class HookReference(_message.Message):
    __slots__ = ("id", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ListHooksRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "tags")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    tags: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., tags: _Optional[str] = ...) -> None: ...

class ListHooksResponse(_message.Message):
    __slots__ = ("hooks", "next_page_token")
    HOOKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    hooks: _containers.RepeatedCompositeFieldContainer[Hook]
    next_page_token: str
    def __init__(self, hooks: _Optional[_Iterable[_Union[Hook, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetHookRequest(_message.Message):
    __slots__ = ("hook",)
    HOOK_FIELD_NUMBER: _ClassVar[int]
    hook: str
    def __init__(self, hook: _Optional[str] = ...) -> None: ...

class GetHookResponse(_message.Message):
    __slots__ = ("hook",)
    HOOK_FIELD_NUMBER: _ClassVar[int]
    hook: Hook
    def __init__(self, hook: _Optional[_Union[Hook, _Mapping]] = ...) -> None: ...

class CreateHookRequest(_message.Message):
    __slots__ = ("definition",)
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    definition: Hook
    def __init__(self, definition: _Optional[_Union[Hook, _Mapping]] = ...) -> None: ...

class CreateHookResponse(_message.Message):
    __slots__ = ("hook",)
    HOOK_FIELD_NUMBER: _ClassVar[int]
    hook: Hook
    def __init__(self, hook: _Optional[_Union[Hook, _Mapping]] = ...) -> None: ...

class UpdateHookRequest(_message.Message):
    __slots__ = ("hook", "definition", "update_mask", "allow_missing")
    HOOK_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    hook: str
    definition: Hook
    update_mask: _field_mask_pb2.FieldMask
    allow_missing: bool
    def __init__(self, hook: _Optional[str] = ..., definition: _Optional[_Union[Hook, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., allow_missing: _Optional[bool] = ...) -> None: ...

class UpdateHookResponse(_message.Message):
    __slots__ = ("hook",)
    HOOK_FIELD_NUMBER: _ClassVar[int]
    hook: Hook
    def __init__(self, hook: _Optional[_Union[Hook, _Mapping]] = ...) -> None: ...

class DeleteHookRequest(_message.Message):
    __slots__ = ("hook",)
    HOOK_FIELD_NUMBER: _ClassVar[int]
    hook: str
    def __init__(self, hook: _Optional[str] = ...) -> None: ...

class DeleteHookResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PingHookRequest(_message.Message):
    __slots__ = ("hook",)
    HOOK_FIELD_NUMBER: _ClassVar[int]
    hook: str
    def __init__(self, hook: _Optional[str] = ...) -> None: ...

class PingHookResponse(_message.Message):
    __slots__ = ("sent",)
    SENT_FIELD_NUMBER: _ClassVar[int]
    sent: _struct_pb2.Struct
    def __init__(self, sent: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TestHookRequest(_message.Message):
    __slots__ = ("hook", "data")
    HOOK_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    hook: str
    data: _struct_pb2.Struct
    def __init__(self, hook: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TestHookResponse(_message.Message):
    __slots__ = ("data", "result", "request", "filter", "error")
    DATA_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    data: _struct_pb2.Struct
    result: HandlerResult
    request: SentRequest
    filter: FilterVerdict
    error: str
    def __init__(self, data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., result: _Optional[_Union[HandlerResult, _Mapping]] = ..., request: _Optional[_Union[SentRequest, _Mapping]] = ..., filter: _Optional[_Union[FilterVerdict, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class PreviewHookRequest(_message.Message):
    __slots__ = ("hook", "definition", "event", "event_id", "data")
    HOOK_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    hook: str
    definition: Hook
    event: str
    event_id: str
    data: _struct_pb2.Struct
    def __init__(self, hook: _Optional[str] = ..., definition: _Optional[_Union[Hook, _Mapping]] = ..., event: _Optional[str] = ..., event_id: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class PreviewHookResponse(_message.Message):
    __slots__ = ("hook", "handler", "event", "fires", "mismatch", "held_back", "filter", "suppression", "request", "lines", "result", "error", "notes", "limits")
    HOOK_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    FIRES_FIELD_NUMBER: _ClassVar[int]
    MISMATCH_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    hook: HookReference
    handler: str
    event: PreviewedEvent
    fires: bool
    mismatch: str
    held_back: str
    filter: FilterVerdict
    suppression: SuppressionVerdict
    request: SentRequest
    lines: _containers.RepeatedCompositeFieldContainer[PreviewedLine]
    result: str
    error: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    limits: _containers.RepeatedCompositeFieldContainer[UsedLimit]
    def __init__(self, hook: _Optional[_Union[HookReference, _Mapping]] = ..., handler: _Optional[str] = ..., event: _Optional[_Union[PreviewedEvent, _Mapping]] = ..., fires: _Optional[bool] = ..., mismatch: _Optional[str] = ..., held_back: _Optional[str] = ..., filter: _Optional[_Union[FilterVerdict, _Mapping]] = ..., suppression: _Optional[_Union[SuppressionVerdict, _Mapping]] = ..., request: _Optional[_Union[SentRequest, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[PreviewedLine, _Mapping]]] = ..., result: _Optional[str] = ..., error: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ..., limits: _Optional[_Iterable[_Union[UsedLimit, _Mapping]]] = ...) -> None: ...

class PreviewedEvent(_message.Message):
    __slots__ = ("id", "source", "event", "time", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    event: str
    time: _timestamp_pb2.Timestamp
    data: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., event: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class FilterVerdict(_message.Message):
    __slots__ = ("expression", "verdict", "error", "parts")
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    expression: str
    verdict: bool
    error: str
    parts: _containers.RepeatedCompositeFieldContainer[FilterPart]
    def __init__(self, expression: _Optional[str] = ..., verdict: _Optional[bool] = ..., error: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[FilterPart, _Mapping]]] = ...) -> None: ...

class FilterPart(_message.Message):
    __slots__ = ("depth", "text", "value", "error")
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    depth: int
    text: str
    value: str
    error: str
    def __init__(self, depth: _Optional[int] = ..., text: _Optional[str] = ..., value: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class SuppressionVerdict(_message.Message):
    __slots__ = ("on_change", "snooze", "verdict", "fired_at", "silent_until", "held")
    ON_CHANGE_FIELD_NUMBER: _ClassVar[int]
    SNOOZE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    FIRED_AT_FIELD_NUMBER: _ClassVar[int]
    SILENT_UNTIL_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    on_change: bool
    snooze: int
    verdict: SuppressionOutcome
    fired_at: _timestamp_pb2.Timestamp
    silent_until: _timestamp_pb2.Timestamp
    held: int
    def __init__(self, on_change: _Optional[bool] = ..., snooze: _Optional[int] = ..., verdict: _Optional[_Union[SuppressionOutcome, str]] = ..., fired_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., silent_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held: _Optional[int] = ...) -> None: ...

class PreviewedLine(_message.Message):
    __slots__ = ("level", "text")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    level: str
    text: str
    def __init__(self, level: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class UsedLimit(_message.Message):
    __slots__ = ("name", "used", "limit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    used: float
    limit: float
    def __init__(self, name: _Optional[str] = ..., used: _Optional[float] = ..., limit: _Optional[float] = ...) -> None: ...

class HandlerResult(_message.Message):
    __slots__ = ("status", "headers", "body")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    status: int
    headers: _containers.ScalarMap[str, str]
    body: bytes
    def __init__(self, status: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., body: _Optional[bytes] = ...) -> None: ...

class SentRequest(_message.Message):
    __slots__ = ("method", "url", "headers", "body", "size")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    method: str
    url: str
    headers: _containers.ScalarMap[str, str]
    body: bytes
    size: int
    def __init__(self, method: _Optional[str] = ..., url: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., body: _Optional[bytes] = ..., size: _Optional[int] = ...) -> None: ...
