import asyncio
import ssl
from base64 import encodebytes
from contextlib import nullcontext
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kong_eventhooks_plugin.errors import HttpError
from kong_eventhooks_plugin.handlers.http_client import HttpClient, HttpRequest
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from kong_eventhooks_plugin.tls_groups import set_groups
from tests.support.delivery_tls import self_signed

ODD = int.from_bytes(b"\xa5" * 256)
"""No prime, which a client does not check; one of 10,000 bits would take it a second."""


async def test_a_server_cannot_choose_its_own_diffie_hellman(tmp_path: Path) -> None:
    context, _ = self_signed(tmp_path, rsa.generate_private_key(65_537, 2_048))
    group = tmp_path / "dh.pem"
    encoded = encodebytes(dh_parameters()).decode()
    group.write_text(f"-----BEGIN DH PARAMETERS-----\n{encoded}-----END DH PARAMETERS-----\n")
    context.load_dh_params(group)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE")
    client = HttpClient(Metrics())
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(HttpError):
        await client.send(HttpRequest("GET", origin, b"127.0.0.1", b"/", {}, verify=False))
    server.close()
    await client.close()


@pytest.mark.parametrize(("group", "connects"), [("ffdhe8192", False), ("P-384", True)])
async def test_groups_of_tls_1_3_are_curves(tmp_path: Path, group: str, connects: bool) -> None:
    context, _ = self_signed(tmp_path, rsa.generate_private_key(65_537, 2_048))
    assert set_groups(context, [group])
    client = HttpClient(Metrics())
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with nullcontext() if connects else pytest.raises(HttpError):
        await client.send(HttpRequest("GET", origin, b"127.0.0.1", b"/", {}, verify=False))
    server.close()
    await client.close()


async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    writer.close()


def dh_parameters() -> bytes:
    """Return the odd number and 2 as PKCS#3 has them."""
    number = b"\x00" + ODD.to_bytes(256)
    content = b"\x02\x82" + len(number).to_bytes(2) + number + b"\x02\x01\x02"
    return b"\x30\x82" + len(content).to_bytes(2) + content
