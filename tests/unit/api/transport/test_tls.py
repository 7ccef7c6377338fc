"""TLS of the API: which files are refused, who is let in over REST and gRPC, and how a wrong call ends."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
import structlog
from cryptography.hazmat.primitives import serialization

from kong_eventhooks_plugin.api.client.rest import ApiTarget, RestClient
from kong_eventhooks_plugin.api.client.tls import ClientTls
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2, hooks_pb2_grpc
from kong_eventhooks_plugin.api.grpc.server import GrpcServer
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.transport import listener as listener_module
from kong_eventhooks_plugin.api.transport.listener import Listener
from kong_eventhooks_plugin.api.transport.tls import TlsFiles, server_context, tls_files
from kong_eventhooks_plugin.errors import RemoteError, SettingsError
from tests.support.api import Api
from tests.support.authority import Authority, Pair
from tests.support.waiting import SECONDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def other(folder: Path) -> Authority:
    return Authority(folder, "other")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.signed("server")


@pytest.fixture(scope="module")
def mutual(authority: Authority, server: Pair) -> TlsFiles:
    return TlsFiles(server.cert, server.key, str(authority.file))


class TestFiles:
    def test_all_or_none(self) -> None:
        assert tls_files(None, None, None) is None
        assert tls_files("c", "k", None) == TlsFiles("c", "k", None)
        for given, missing in (
            (("c", None, None), "key"), ((None, "k", None), "cert"), ((None, None, "a"), "cert")
        ):  # fmt: skip
            with pytest.raises(SettingsError, match=f"^api_tls_{missing}: is not set"):
                tls_files(*given)

    @pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o400, False), (0o644, True), (0o660, True)])
    def test_a_key_that_others_may_use_is_refused(self, server: Pair, tmp_path: Path, mode: int, refused: bool) -> None:
        key = tmp_path / "key"
        key.write_bytes(Path(server.key).read_bytes())
        key.chmod(mode)
        files = TlsFiles(server.cert, str(key))
        if not refused:
            assert server_context(files, "h2").minimum_version is ssl.TLSVersion.TLSv1_2
            return
        with pytest.raises(SettingsError, match=f"^api_tls_key: {key}: others may use it .mode {mode:04o}.; chmod 06"):
            server_context(files, "h2")

    def test_what_cannot_be_read_is_named(self, authority: Authority, server: Pair, tmp_path: Path) -> None:
        key = serialization.load_pem_private_key(Path(server.key).read_bytes(), None)
        locked, empty, fifo = tmp_path / "locked", tmp_path / "empty", tmp_path / "fifo"
        locked.touch(mode=0o600)
        empty.touch(mode=0o600)
        locked.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
        os.mkfifo(fifo, 0o600)
        cert, other = server.cert, authority.signed("unrelated").key
        for files, text in (
            (TlsFiles("/nowhere", server.key), "api_tls_cert: /nowhere: cannot be read"),
            (TlsFiles(str(fifo), server.key), "api_tls_cert: .*: cannot be read .it is not a regular file"),
            (TlsFiles(cert, str(fifo)), "api_tls_key: .*: cannot be read .it is not a regular file"),
            (TlsFiles(cert, str(empty)), "api_tls_key: .*empty: has no private key"),
            (TlsFiles(str(empty), server.key), "api_tls_cert: .*empty: has no certificate"),
            (TlsFiles(cert, other), "api_tls_key: .*: is not the key of the certificate"),
            (TlsFiles(cert, str(locked)), "api_tls_key: .*locked: has a passphrase"),
            (TlsFiles(cert, server.key, str(empty)), "api_tls_client_ca: .*empty: has no certificate"),
        ):
            with pytest.raises(SettingsError, match=text):
                server_context(files, "http/1.1")


class TestRest:
    async def test_a_client_with_a_certificate_is_let_in(
        self, api: Api, authority: Authority, mutual: TlsFiles
    ) -> None:
        verify = authority.client(authority.signed("client"))
        async with api.served(tls=server_context(mutual, "http/1.1"), verify=verify) as client:
            assert (await client.get("/event-hooks")).status_code == 200

    async def test_others_are_refused(self, api: Api, authority: Authority, other: Authority, mutual: TlsFiles) -> None:
        """One without a certificate, one that a strange authority signed, one that trusts another authority."""
        with structlog.testing.capture_logs() as logged:
            async with api.served(tls=server_context(mutual, "http/1.1")):
                strange = other.signed("strange")
                for verify in (authority.client(), authority.client(strange), other.client(authority.signed("right"))):
                    async with httpx.AsyncClient(verify=verify, timeout=SECONDS) as client:
                        with pytest.raises(httpx.TransportError):
                            await client.get(f"{api.base}/healthz")
        reasons = {line["reason"] for line in logged if line["event"] == "api_tls_handshake_failed"}
        assert {"PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED"} <= reasons

    @pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
    async def test_tls_1_1_is_refused(self, api: Api, authority: Authority, server: Pair) -> None:
        verify = authority.client()
        verify.set_ciphers("ALL:@SECLEVEL=0")
        verify.minimum_version = ssl.TLSVersion.TLSv1
        verify.maximum_version = ssl.TLSVersion.TLSv1_1
        async with api.served(tls=server_context(TlsFiles(*server), "http/1.1"), verify=verify) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/healthz")

    async def test_plain_http_gets_a_clear_end(self, api: Api, server: Pair) -> None:
        async with (
            api.served(tls=server_context(TlsFiles(*server), "http/1.1")),
            httpx.AsyncClient(timeout=SECONDS) as client,
        ):
            answer = await client.get(f"{api.base.replace('https', 'http')}/healthz")
        assert (answer.status_code, answer.json()) == (400, {"message": "this port speaks TLS: call it as https://"})

    async def test_who_says_nothing_is_closed(self, api: Api, server: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listener_module, "HANDSHAKE_SECONDS", 0.1)
        async with api.served(tls=server_context(TlsFiles(*server), "http/1.1"), verify=False):
            for sent in (b"", b"\x16\x03\x01"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(api.base.rpartition(":")[2]))
                writer.write(sent)
                async with asyncio.timeout(SECONDS):
                    with contextlib.suppress(ConnectionError):
                        await reader.read()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    async def test_those_in_a_handshake_make_room_too(self, api: Api, authority: Authority, server: Pair) -> None:
        tls = server_context(TlsFiles(*server), "http/1.1")
        async with api.served(tls=tls, verify=authority.client(), limit=2) as client:
            port = int(api.base.rpartition(":")[2])
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            assert (await client.get("/event-hooks")).status_code == 200
            async with asyncio.timeout(SECONDS):
                with contextlib.suppress(ConnectionError):
                    await silent[0][0].read()
            for _, writer in silent:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()


class TestTheCommandLine:
    async def call(self, url: str, **tls: str) -> object:
        def call() -> object:
            with RestClient(ApiTarget(url, tls=ClientTls(**tls))) as client:
                return client.call("GET", "event-hooks")["data"]

        return await asyncio.to_thread(call)

    async def test_it_works_and_says_what_is_missing(
        self, api: Api, authority: Authority, other: Authority, mutual: TlsFiles
    ) -> None:
        cert, key = authority.signed("operator")
        mine, cacert = {"cert": cert, "key": key}, str(authority.file)
        strange = dict(zip(("cert", "key"), other.signed("stranger"), strict=True))
        async with api.served(tls=server_context(mutual, "http/1.1")):
            assert await self.call(api.base, cacert=cacert, **mine) == []
            assert await self.call(api.base, pinned=mutual.api_tls_cert, **mine) == []
            for given, text in (
                (mine, "not trusted .*--cacert"),
                ({"pinned": cert, **mine}, "not trusted"),
                ({"cacert": cacert}, "asks for a certificate.* --cert"),
                ({"cacert": cacert, **strange}, "who signed|asks for a certificate"),
                ({"cacert": "/nowhere"}, "^--cacert /nowhere: No such file"),
                ({"cacert": cacert, "cert": key}, "^--cert .*: is not PEM"),
            ):
                with pytest.raises(RemoteError, match=text):
                    await self.call(api.base, **given)
            with pytest.raises(RemoteError, match="this port speaks TLS"):
                await self.call(api.base.replace("https", "http"))
        async with api.served():
            with pytest.raises(RemoteError, match="does not speak TLS"):
                await self.call(api.base.replace("http", "https"))


class TestGrpc:
    @contextlib.asynccontextmanager
    async def served(self, api: Api, files: TlsFiles) -> AsyncIterator[str]:
        served = GrpcServer(api.service, Access(), Listener("grpc_listen", 8, server_context(files, "h2")), api.folder)
        await served.open("127.0.0.1:0")
        try:
            yield f"127.0.0.1:{served.port}"
        finally:
            await served.stop(0)

    def credentials(self, authority: Authority, pair: Pair | None) -> grpc.ChannelCredentials:
        own = [Path(file).read_bytes() for file in (pair.key, pair.cert)] if pair else []
        return grpc.ssl_channel_credentials(authority.file.read_bytes(), *own)

    async def call(self, target: str, authority: Authority, pair: Pair | None) -> hooks_pb2.ListHooksResponse:
        credentials = self.credentials(authority, pair)
        async with grpc.aio.secure_channel(target, credentials) as channel:
            return await hooks_pb2_grpc.HookServiceStub(channel).ListHooks(hooks_pb2.ListHooksRequest())

    async def test_a_client_with_a_certificate_is_let_in_and_no_other(
        self, api: Api, authority: Authority, other: Authority, mutual: TlsFiles
    ) -> None:
        async with self.served(api, mutual) as target:
            assert not (await self.call(target, authority, authority.signed("client"))).hooks
            for trusting, pair in ((authority, None), (authority, other.signed("strange")), (other, None)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await self.call(target, trusting, pair)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def test_without_tls_it_ends_at_once(self, api: Api, server: Pair) -> None:
        async with self.served(api, TlsFiles(*server)) as target, grpc.aio.insecure_channel(target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await hooks_pb2_grpc.HookServiceStub(channel).ListHooks(hooks_pb2.ListHooksRequest(), timeout=SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


FFDHE8192 = 0x0104
P256 = 0x0017
ALERT, HANDSHAKE = 21, 22


@pytest.mark.parametrize(("group", "answer"), [(FFDHE8192, ALERT), (P256, HANDSHAKE)])
def test_a_client_cannot_choose_a_costly_exchange_of_keys(mutual: TlsFiles, group: int, answer: int) -> None:
    context = server_context(mutual, "http/1.1")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(client_hello(group))
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    assert outgoing.read()[0] == answer


def client_hello(group: int) -> bytes:
    """Return TLS 1.3's first message of a client that knows one group (RFC 8446, 4.1.2)."""
    extensions = (
        (43, b"\x02\x03\x04"),  # the version
        (10, b"\x00\x02" + group.to_bytes(2)),  # the group
        (13, b"\x00\x04\x04\x03\x08\x04"),  # signatures
        (51, b"\x00\x00"),  # no key yet: a server that takes the group asks for one
    )
    listed = b"".join(number.to_bytes(2) + len(data).to_bytes(2) + data for number, data in extensions)
    suites = b"\x00\x02\x13\x01"
    body = b"\x03\x03" + bytes(32) + b"\x00" + suites + b"\x01\x00" + len(listed).to_bytes(2) + listed
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message
