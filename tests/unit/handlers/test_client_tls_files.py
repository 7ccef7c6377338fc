"""A hook's certificate from its file to the endpoint, before and after it was renewed."""

import ssl
from pathlib import Path

from kong_eventhooks_plugin.handlers.http_client import HttpClient
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.hooks.reference_values import Secrets
from kong_eventhooks_plugin.hooks.secret_files import SecretFiles
from kong_eventhooks_plugin.model.delivery import Delivered
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.authority import Authority
from tests.support.delivery_jobs import make_job
from tests.support.http_receiver import HttpReceiver


def written(path: Path, authority: Authority, name: str) -> None:
    pair = authority.signed(name)
    path.write_text(Path(pair.cert).read_text() + Path(pair.key).read_text())


async def test_a_renewed_certificate_counts_from_the_next_delivery_on(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    server = old.signed("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(old.file))
    context.load_cert_chain(*server)
    context.verify_mode = ssl.CERT_REQUIRED
    path = tmp_path / "gateway.pem"
    written(path, new, "gateway")
    files = SecretFiles((str(tmp_path),))
    secrets = Secrets({}, files)
    client = WebhookHandler(HttpClient(Metrics()))
    async with HttpReceiver(tls=context) as receiver:
        config = {"url": receiver.url, "client_cert_file": str(path), "ca_file": str(old.file)}
        files.want(frozenset(secrets.files(config)))
        outcomes = []
        for authority in (new, old):
            written(path, authority, "gateway")
            for wanted in secrets.files(config):
                await files.read(wanted)
            outcomes.append(await client.deliver(make_job(secrets.resolve(config))))
    await client.close()
    assert [isinstance(outcome, Delivered) for outcome in outcomes] == [False, True]
