import datetime

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2 as _deliveries_pb2
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2 as _hooks_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HeldBackReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HELD_BACK_REASON_UNSPECIFIED: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_SNOOZED: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_UNCHANGED: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_DISABLED: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_FILTER: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_FILTER_ERROR: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_QUEUE_FULL: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_QUEUE_BYTES: _ClassVar[HeldBackReason]
    HELD_BACK_REASON_HOOK_QUEUE_FULL: _ClassVar[HeldBackReason]
HELD_BACK_REASON_UNSPECIFIED: HeldBackReason
HELD_BACK_REASON_SNOOZED: HeldBackReason
HELD_BACK_REASON_UNCHANGED: HeldBackReason
HELD_BACK_REASON_DISABLED: HeldBackReason
HELD_BACK_REASON_FILTER: HeldBackReason
HELD_BACK_REASON_FILTER_ERROR: HeldBackReason
HELD_BACK_REASON_QUEUE_FULL: HeldBackReason
HELD_BACK_REASON_QUEUE_BYTES: HeldBackReason
HELD_BACK_REASON_HOOK_QUEUE_FULL: HeldBackReason

class Event(_message.Message):
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

class Fired(_message.Message):
    __slots__ = ("hook", "delivery_id", "state")
    HOOK_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    hook: _hooks_pb2.HookReference
    delivery_id: str
    state: _deliveries_pb2.DeliveryState
    def __init__(self, hook: _Optional[_Union[_hooks_pb2.HookReference, _Mapping]] = ..., delivery_id: _Optional[str] = ..., state: _Optional[_Union[_deliveries_pb2.DeliveryState, str]] = ...) -> None: ...

class HeldBack(_message.Message):
    __slots__ = ("hook", "reason")
    HOOK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    hook: _hooks_pb2.HookReference
    reason: HeldBackReason
    def __init__(self, hook: _Optional[_Union[_hooks_pb2.HookReference, _Mapping]] = ..., reason: _Optional[_Union[HeldBackReason, str]] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("event", "data", "key")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    event: str
    data: _struct_pb2.Struct
    key: str
    def __init__(self, event: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., key: _Optional[str] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("event_id", "duplicate", "fired", "held_back", "undecided")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    FIRED_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_FIELD_NUMBER: _ClassVar[int]
    UNDECIDED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    duplicate: bool
    fired: _containers.RepeatedCompositeFieldContainer[Fired]
    held_back: _containers.RepeatedCompositeFieldContainer[HeldBack]
    undecided: bool
    def __init__(self, event_id: _Optional[str] = ..., duplicate: _Optional[bool] = ..., fired: _Optional[_Iterable[_Union[Fired, _Mapping]]] = ..., held_back: _Optional[_Iterable[_Union[HeldBack, _Mapping]]] = ..., undecided: _Optional[bool] = ...) -> None: ...

class AcceptedEvent(_message.Message):
    __slots__ = ("event", "accepted_at", "fired", "held_back")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    FIRED_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_FIELD_NUMBER: _ClassVar[int]
    event: Event
    accepted_at: _timestamp_pb2.Timestamp
    fired: _containers.RepeatedCompositeFieldContainer[Fired]
    held_back: _containers.RepeatedCompositeFieldContainer[HeldBack]
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fired: _Optional[_Iterable[_Union[Fired, _Mapping]]] = ..., held_back: _Optional[_Iterable[_Union[HeldBack, _Mapping]]] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("source", "event", "hook", "since", "until", "page_size", "page_token")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    HOOK_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    source: str
    event: str
    hook: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, source: _Optional[str] = ..., event: _Optional[str] = ..., hook: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AcceptedEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[AcceptedEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("source", "event", "hook", "after")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    HOOK_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    source: str
    event: str
    hook: str
    after: str
    def __init__(self, source: _Optional[str] = ..., event: _Optional[str] = ..., hook: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("event", "missed")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    event: WatchedEvent
    missed: Missed
    def __init__(self, event: _Optional[_Union[WatchedEvent, _Mapping]] = ..., missed: _Optional[_Union[Missed, _Mapping]] = ...) -> None: ...

class WatchedEvent(_message.Message):
    __slots__ = ("event", "fired", "held_back")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    FIRED_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_FIELD_NUMBER: _ClassVar[int]
    event: Event
    fired: _containers.RepeatedCompositeFieldContainer[Fired]
    held_back: _containers.RepeatedCompositeFieldContainer[HeldBack]
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., fired: _Optional[_Iterable[_Union[Fired, _Mapping]]] = ..., held_back: _Optional[_Iterable[_Union[HeldBack, _Mapping]]] = ...) -> None: ...

class Missed(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...
