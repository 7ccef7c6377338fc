"""A hook's references get values, or it is held with every missing one named."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.handlers.client_tls import TlsMaterial
from kong_eventhooks_plugin.hooks import reference_values as module
from kong_eventhooks_plugin.hooks.reference_values import Secrets, TlsPaths
from kong_eventhooks_plugin.hooks.schema import TLS_FILES
from kong_eventhooks_plugin.hooks.secret_files import SecretFiles

CONFIG = {
    "url": "{vault://hcv/url}",
    "secret": "{vault://env/a-secret}",
    "previous_secret": "literal",
    "headers": {"authorization": "{vault://env/token}", "x-plain": "{not a reference}"},
}


def secrets_of(environ: Mapping[str, str], *directories: str) -> Secrets:
    return Secrets(environ, SecretFiles(directories))


def test_from_kong_and_from_the_environment() -> None:
    secrets = secrets_of({"A_SECRET": "from env", "TOKEN": "t"})
    secrets.learn({"{vault://hcv/url}": "https://example.com", "{vault://env/a-secret}": "from kong"})
    assert secrets.resolve(CONFIG) == {
        "url": "https://example.com",
        "secret": "from kong",
        "previous_secret": "literal",
        "headers": {"authorization": "t", "x-plain": "{not a reference}"},
    }
    assert CONFIG["headers"]["authorization"] == "{vault://env/token}", "the definition keeps its references"  # type: ignore[index]


NOBODY = "neither Kong nor the sidecar's environment has it"


def test_all_that_is_missing_is_named() -> None:
    with pytest.raises(UnresolvedReference) as caught:
        secrets_of({}).resolve({**CONFIG, "secret_file": "/nowhere"})
    assert caught.value.missing == {
        "url": f"{{vault://hcv/url}} ({NOBODY})",
        "secret": f"{{vault://env/a-secret}} ({NOBODY})",
        "headers.authorization": f"{{vault://env/token}} ({NOBODY})",
        "secret_file": "/nowhere (it was not read yet)",
    }


def test_what_kong_can_no_longer_resolve_is_forgotten() -> None:
    secrets = secrets_of({})
    secrets.learn({"{vault://hcv/url}": "x"})
    secrets.learn({"{vault://hcv/url}": ""})
    with pytest.raises(UnresolvedReference):
        secrets.resolve({"url": "{vault://hcv/url}"})


def test_values_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 2)
    secrets = secrets_of({})
    secrets.learn({"{vault://a/1}": "1", "{vault://a/2}": "2"})
    secrets.learn({"{vault://a/1}": "one"})
    secrets.learn({"{vault://a/3}": "3"})
    assert secrets.resolve({"url": "{vault://a/1}", "secret": "{vault://a/3}"}) == {"url": "one", "secret": "3"}
    with pytest.raises(UnresolvedReference):
        secrets.resolve({"url": "{vault://a/2}"})


@pytest.mark.parametrize("field", ["secret", "previous_secret", "preset_key"])
@pytest.mark.parametrize(
    ("written", "secret"),
    [("s3", "s3"), ("s3\n", "s3"), ("s3\r\n", "s3"), ("\ufeffs3\n", "s3"), (" s\n\n", " s\n"), ("s\ufeff", "s\ufeff")],
)
async def test_a_secret_is_the_same_whichever_way_it_comes(
    tmp_path: Path, field: str, written: str, secret: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(written.encode())
    files = SecretFiles((str(tmp_path),))
    files.want(frozenset({str(path)}))
    await files.read(str(path))
    secrets = Secrets({"A": written, "JSON": json.dumps({"key": written})}, files)
    secrets.learn({"{vault://hcv/a}": written})
    for reference in (written, "{vault://env/a}", "{vault://env/json/key}", "{vault://hcv/a}"):
        assert secrets.resolve({field: reference}) == {field: secret}, reference
    assert secrets.resolve({"secret_file": str(path)}) == {"secret": secret}


@pytest.mark.parametrize("value", ["\n", "\ufeff", "\ufeff\r\n"])
def test_a_reference_to_nothing_but_a_line_end_has_no_value(value: str) -> None:
    with pytest.raises(UnresolvedReference):
        secrets_of({"A": value}).resolve({"headers": {"authorization": "{vault://env/a}"}})


async def test_a_certificate_comes_from_its_files_the_hook_s_own_first(tmp_path: Path) -> None:
    for name in ("cert", "key", "ca", "all", "all-ca"):
        (tmp_path / name).write_text(f"the {name}\n")
    files = SecretFiles((str(tmp_path),))
    own = {name: str(tmp_path / file) for name, file in zip(TLS_FILES, ("cert", "key", "ca"), strict=True)}
    of_all = Secrets({}, files, TlsPaths(cert=str(tmp_path / "all"), ca=str(tmp_path / "all-ca")))
    url = {"url": "https://h/"}
    files.want(frozenset(of_all.files({**url, **own}) + of_all.files(url)))
    with pytest.raises(UnresolvedReference) as held:
        of_all.resolve(url)
    assert held.value.missing == {
        "client_cert_file": f"{tmp_path}/all (it was not read yet)",
        "ca_file": f"{tmp_path}/all-ca (it was not read yet)",
    }
    for name in ("cert", "key", "ca", "all", "all-ca"):
        await files.read(f"{tmp_path}/{name}")

    def tls(secrets: Secrets, **config: object) -> object:
        resolved = secrets.resolve({**url, **config})
        assert resolved.keys() <= {"url", "tls", "ssl_verify"}
        return resolved.get("tls")

    none = Secrets({}, files)
    assert tls(none) is None
    assert tls(none, **own) == TlsMaterial("the cert", "the key", "the ca")
    assert tls(none, ca_file=own["ca_file"]) == TlsMaterial(ca="the ca")
    assert tls(of_all) == TlsMaterial("the all", None, "the all-ca")
    assert tls(of_all, ssl_verify=False) == TlsMaterial("the all"), "nothing is verified"
    assert tls(of_all, client_cert_file=own["client_cert_file"]) == TlsMaterial("the cert", None, "the all-ca")
    assert of_all.resolve({"functions": ["x"]}) == {"functions": ["x"]}
