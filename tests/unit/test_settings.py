from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from kong_eventhooks_plugin import settings
from kong_eventhooks_plugin.errors import SettingsError

ROOT = Path(__file__).parents[2]


def test_the_documentation_is_what_the_descriptions_make() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings.markdown()


def test_every_setting_is_described_and_its_default_is_valid() -> None:
    described = list(settings.described())
    assert [one.name for one in described] == [field.name for field in fields(settings.Settings)]
    for one in described:
        assert one.description.endswith("."), one.name
        msgspec.convert(one.default, one.hint)


def test_a_flag_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('data_dir = "/file"\nlisten = "127.0.0.1:1"\nhook_concurrency = 2\n')
    loaded = settings.load(
        {"listen": "127.0.0.1:3", "kong_yml": None},
        file,
        {"KONG_EVENTHOOKS_LISTEN": "127.0.0.1:2", "KONG_EVENTHOOKS_HOOK_CONCURRENCY": "4", "PATH": "/bin"},
    )
    assert (loaded.data_dir, loaded.listen, loaded.hook_concurrency) == ("/file", "127.0.0.1:3", 4)


def test_lists_and_booleans_come_as_text_too() -> None:
    loaded = settings.load({"kong_yml": "a.yml, b.yml,", "deliver": "false"}, environment={})
    assert loaded.kong_yml == ("a.yml", "b.yml")
    assert loaded.deliver is False


@pytest.mark.parametrize("text", ["14, 3", "14,3,"])
def test_lists_of_numbers_come_as_text_too(text: str) -> None:
    assert settings.load({"certificate_days": text}, environment={}).certificate_days == (14, 3)
    assert settings.load({}, environment={"KONG_EVENTHOOKS_CERTIFICATE_DAYS": text}).certificate_days == (14, 3)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"hook_concurrency": "0"}, "flag: hook_concurrency: expected integer, 1 to 1,024, not '0'"),
        ({"protocol": "thrift"}, "flag: protocol: expected protobuf, msgpack, not 'thrift'"),
        ({"untrusted_lua": "sandbx"}, "expected off, sandbox, strict, lax, on, not 'sandbx'; did you mean sandbox?"),
        (
            {"sokcet_path": "x"},
            "flag: unknown setting 'sokcet_path' (did you mean socket_path?); kong-event-hooks serve --help lists them",
        ),
        ({"certificate_days": "30,soon"}, "flag: certificate_days: expected list of integer, >= 1, not ['30', 'soon']"),
        (
            {"admin_url": "127.0.0.1:8001"},
            "flag: admin_url: expected text like http://127.0.0.1:8001",
        ),
        ({"console": "yes"}, "flag: console: expected true, false, not 'yes'"),
        ({"timeout_seconds": "soon"}, "flag: timeout_seconds: expected seconds, > 0, not 'soon'"),
    ],
)
def test_a_wrong_value_names_its_setting(flags: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(flags, environment={})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"), [("a =", "is not TOML"), (None, "cannot be read"), ('x = "1"', "unknown setting")]
)
def test_a_wrong_file_names_itself(tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        settings.load({}, file, {})
    assert str(file) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["admin_url", "api_token_file", "grpc_listen", "socket_path", "deliver"])
def test_an_empty_value_is_none(name: str) -> None:
    """``KONG_EVENTHOOKS_API_TOKEN_FILE=`` of a variable that nobody filled in."""
    with pytest.raises(SettingsError) as caught:
        settings.load({}, environment={settings.ENVIRONMENT_PREFIX + name.upper(): ""})
    assert str(caught.value) == f"environment: {name}: is empty; leave it out for its default"


def test_a_list_may_be_empty() -> None:
    assert settings.load({"certificate_days": ""}, environment={}).certificate_days == ()


def test_a_token_has_no_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\ufefft0ken\r\n", "utf-8")
    assert settings.read_token(str(file), "api_token_file") == "t0ken"


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4318", "http://user:s3cret@127.0.0.1", "https://a/?key=s3cret", "https://a#s3cret"]
)
def test_a_collectors_address_holds_no_credential(url: str) -> None:
    with pytest.raises(SettingsError, match=r"otlp_endpoint: expected text like http://127\.0\.0\.1:4318") as refused:
        settings.load({"otlp_endpoint": url}, environment={})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("listen", ["8010", "localhost", "[::1]", "127.0.0.1:http", "127.0.0.1:", "::1:8010"])
def test_an_address_has_a_host_and_a_port(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"^flag: listen: '.*' is no address; expected HOST:PORT, for example"):
        settings.load({"listen": listen}, environment={})
    assert settings.load({"listen": "[::1]:8010", "grpc_listen": "localhost:0"}, environment={}).listen == "[::1]:8010"
