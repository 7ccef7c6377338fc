from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RpcCall(_message.Message):
    __slots__ = ("sequence", "cmd_get_plugin_names", "cmd_get_plugin_info", "cmd_start_instance", "cmd_get_instance_status", "cmd_close_instance", "cmd_handle_event")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CMD_GET_PLUGIN_NAMES_FIELD_NUMBER: _ClassVar[int]
    CMD_GET_PLUGIN_INFO_FIELD_NUMBER: _ClassVar[int]
    CMD_START_INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CMD_GET_INSTANCE_STATUS_FIELD_NUMBER: _ClassVar[int]
    CMD_CLOSE_INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CMD_HANDLE_EVENT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    cmd_get_plugin_names: CmdGetPluginNames
    cmd_get_plugin_info: CmdGetPluginInfo
    cmd_start_instance: CmdStartInstance
    cmd_get_instance_status: CmdGetInstanceStatus
    cmd_close_instance: CmdCloseInstance
    cmd_handle_event: CmdHandleEvent
    def __init__(self, sequence: _Optional[int] = ..., cmd_get_plugin_names: _Optional[_Union[CmdGetPluginNames, _Mapping]] = ..., cmd_get_plugin_info: _Optional[_Union[CmdGetPluginInfo, _Mapping]] = ..., cmd_start_instance: _Optional[_Union[CmdStartInstance, _Mapping]] = ..., cmd_get_instance_status: _Optional[_Union[CmdGetInstanceStatus, _Mapping]] = ..., cmd_close_instance: _Optional[_Union[CmdCloseInstance, _Mapping]] = ..., cmd_handle_event: _Optional[_Union[CmdHandleEvent, _Mapping]] = ...) -> None: ...

class CmdGetPluginNames(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CmdGetPluginInfo(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CmdStartInstance(_message.Message):
    __slots__ = ("name", "config")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    name: str
    config: bytes
    def __init__(self, name: _Optional[str] = ..., config: _Optional[bytes] = ...) -> None: ...

class CmdGetInstanceStatus(_message.Message):
    __slots__ = ("instance_id",)
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    instance_id: int
    def __init__(self, instance_id: _Optional[int] = ...) -> None: ...

class CmdCloseInstance(_message.Message):
    __slots__ = ("instance_id",)
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    instance_id: int
    def __init__(self, instance_id: _Optional[int] = ...) -> None: ...

class CmdHandleEvent(_message.Message):
    __slots__ = ("instance_id", "event_name")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_NAME_FIELD_NUMBER: _ClassVar[int]
    instance_id: int
    event_name: str
    def __init__(self, instance_id: _Optional[int] = ..., event_name: _Optional[str] = ...) -> None: ...

class RpcReturn(_message.Message):
    __slots__ = ("sequence", "plugin_names", "plugin_info", "instance_status")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_NAMES_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_INFO_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_STATUS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    plugin_names: PluginNames
    plugin_info: PluginInfo
    instance_status: InstanceStatus
    def __init__(self, sequence: _Optional[int] = ..., plugin_names: _Optional[_Union[PluginNames, _Mapping]] = ..., plugin_info: _Optional[_Union[PluginInfo, _Mapping]] = ..., instance_status: _Optional[_Union[InstanceStatus, _Mapping]] = ...) -> None: ...

class PluginNames(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class PluginInfo(_message.Message):
    __slots__ = ("name", "updated_at", "loaded_at", "phases", "version", "priority", "schema")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    LOADED_AT_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    name: str
    updated_at: int
    loaded_at: int
    phases: _containers.RepeatedScalarFieldContainer[str]
    version: str
    priority: int
    schema: str
    def __init__(self, name: _Optional[str] = ..., updated_at: _Optional[int] = ..., loaded_at: _Optional[int] = ..., phases: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., priority: _Optional[int] = ..., schema: _Optional[str] = ...) -> None: ...

class InstanceStatus(_message.Message):
    __slots__ = ("name", "instance_id", "config", "started_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    instance_id: int
    config: _struct_pb2.Value
    started_at: int
    def __init__(self, name: _Optional[str] = ..., instance_id: _Optional[int] = ..., config: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., started_at: _Optional[int] = ...) -> None: ...

class Bool(_message.Message):
    __slots__ = ("v",)
    V_FIELD_NUMBER: _ClassVar[int]
    v: bool
    def __init__(self, v: _Optional[bool] = ...) -> None: ...

class Int(_message.Message):
    __slots__ = ("v",)
    V_FIELD_NUMBER: _ClassVar[int]
    v: int
    def __init__(self, v: _Optional[int] = ...) -> None: ...

class Number(_message.Message):
    __slots__ = ("v",)
    V_FIELD_NUMBER: _ClassVar[int]
    v: float
    def __init__(self, v: _Optional[float] = ...) -> None: ...

class String(_message.Message):
    __slots__ = ("v",)
    V_FIELD_NUMBER: _ClassVar[int]
    v: str
    def __init__(self, v: _Optional[str] = ...) -> None: ...

class ByteString(_message.Message):
    __slots__ = ("v",)
    V_FIELD_NUMBER: _ClassVar[int]
    v: bytes
    def __init__(self, v: _Optional[bytes] = ...) -> None: ...

class KV(_message.Message):
    __slots__ = ("k", "v")
    K_FIELD_NUMBER: _ClassVar[int]
    V_FIELD_NUMBER: _ClassVar[int]
    k: str
    v: _struct_pb2.Value
    def __init__(self, k: _Optional[str] = ..., v: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class RawBodyResult(_message.Message):
    __slots__ = ("content", "body_filepath", "error")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    BODY_FILEPATH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    body_filepath: str
    error: str
    def __init__(self, content: _Optional[bytes] = ..., body_filepath: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class Consumer(_message.Message):
    __slots__ = ("id", "created_at", "username", "custom_id", "tags")
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    created_at: int
    username: str
    custom_id: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., created_at: _Optional[int] = ..., username: _Optional[str] = ..., custom_id: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class AuthenticatedCredential(_message.Message):
    __slots__ = ("id", "consumer_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    consumer_id: str
    def __init__(self, id: _Optional[str] = ..., consumer_id: _Optional[str] = ...) -> None: ...

class ServiceKey(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CertificateKey(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("id", "created_at", "updated_at", "name", "retries", "protocol", "host", "port", "path", "connect_timeout", "write_timeout", "read_timeout", "tags", "client_certificate")
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    WRITE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    READ_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    created_at: int
    updated_at: int
    name: str
    retries: int
    protocol: str
    host: str
    port: int
    path: str
    connect_timeout: int
    write_timeout: int
    read_timeout: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    client_certificate: CertificateKey
    def __init__(self, id: _Optional[str] = ..., created_at: _Optional[int] = ..., updated_at: _Optional[int] = ..., name: _Optional[str] = ..., retries: _Optional[int] = ..., protocol: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., path: _Optional[str] = ..., connect_timeout: _Optional[int] = ..., write_timeout: _Optional[int] = ..., read_timeout: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., client_certificate: _Optional[_Union[CertificateKey, _Mapping]] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("id", "created_at", "updated_at", "name", "protocols", "methods", "hosts", "paths", "headers", "https_redirect_status_code", "regex_priority", "strip_path", "preserve_host", "snis", "sources", "destinations", "tags", "service")
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOLS_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    HTTPS_REDIRECT_STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    REGEX_PRIORITY_FIELD_NUMBER: _ClassVar[int]
    STRIP_PATH_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_HOST_FIELD_NUMBER: _ClassVar[int]
    SNIS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    id: str
    created_at: int
    updated_at: int
    name: str
    protocols: _containers.RepeatedScalarFieldContainer[str]
    methods: _containers.RepeatedScalarFieldContainer[str]
    hosts: _containers.RepeatedScalarFieldContainer[str]
    paths: _containers.RepeatedScalarFieldContainer[str]
    headers: _containers.RepeatedScalarFieldContainer[str]
    https_redirect_status_code: int
    regex_priority: int
    strip_path: bool
    preserve_host: bool
    snis: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedScalarFieldContainer[str]
    destinations: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    service: ServiceKey
    def __init__(self, id: _Optional[str] = ..., created_at: _Optional[int] = ..., updated_at: _Optional[int] = ..., name: _Optional[str] = ..., protocols: _Optional[_Iterable[str]] = ..., methods: _Optional[_Iterable[str]] = ..., hosts: _Optional[_Iterable[str]] = ..., paths: _Optional[_Iterable[str]] = ..., headers: _Optional[_Iterable[str]] = ..., https_redirect_status_code: _Optional[int] = ..., regex_priority: _Optional[int] = ..., strip_path: _Optional[bool] = ..., preserve_host: _Optional[bool] = ..., snis: _Optional[_Iterable[str]] = ..., sources: _Optional[_Iterable[str]] = ..., destinations: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., service: _Optional[_Union[ServiceKey, _Mapping]] = ...) -> None: ...
