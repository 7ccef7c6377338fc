"""The console in a real browser: what an operator does, what a page may do, what axe finds, how it looks."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import AXE, TOKEN, Endpoint, Sidecar

pytestmark = pytest.mark.long

WIDTHS = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
EVIL = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"


@contextmanager
def page_of(chromium: Any, sidecar: Sidecar, *, log_in: bool = True, **options: Any) -> Iterator[Any]:
    """A page in a context of its own; nothing may be blocked or fail in it."""
    options = {"viewport": WIDTHS["desktop"], **options}
    context = chromium.new_context(base_url=sidecar.base, **options)
    context.set_default_timeout(30_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # What a page refuses is an error to the browser, too.
    failed = lambda message: message.type == "error" and not re.search("status of 40[01]", message.text)  # noqa: E731
    page.on("console", lambda message: wrong.append(message.text) if failed(message) else None)
    if log_in:
        page.goto("/console/login")
        page.get_by_label("Admin token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{sidecar.base}/")
    yield page
    assert wrong == []
    context.close()


def serious(page: Any) -> list[str]:
    """What axe finds on a page, but for what it calls minor or moderate."""
    page.evaluate(AXE.read_text())
    found = [one for one in page.evaluate("axe.run()")["violations"] if one["impact"] in {"serious", "critical"}]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def make_hook(page: Any, name: str, url: str) -> None:
    page.goto("/console/hooks")
    page.get_by_role("link", name="New hook").click()
    page.get_by_role("link", name=re.compile("^webhook POST")).click()
    page.get_by_label("name", exact=False).first.fill(name)
    page.get_by_label("source").select_option("custom")
    page.get_by_label("url").fill(url)
    page.get_by_role("button", name="Make the hook").click()
    page.get_by_role("heading", name=name).wait_for()


def test_a_hook_is_made_fires_breaks_is_held_and_replayed(chromium: Any, sidecar: Sidecar, endpoint: Endpoint) -> None:
    with page_of(chromium, sidecar) as page:
        assert page.get_by_role("heading", name="All is well").is_visible()
        make_hook(page, "deploys", endpoint.url)
        live = page.context.new_page()
        live.goto("/console/live")
        live.get_by_text("connected").wait_for()
        sidecar.publish(service="orders", version="1.0")
        live.get_by_role("heading", name="custom / deploy").wait_for()
        live.close()
        page.goto("/console/deliveries")
        page.get_by_role("cell", name="delivered").wait_for()
        page.get_by_role("link", name="custom / deploy").click()
        assert page.get_by_text("webhook-id").is_visible()
        assert '"version": "1.0"' in page.get_by_label("Body of the request").inner_text()
        assert '"ok": true' in page.get_by_label("Body of the answer").inner_text()

        endpoint.status = 410
        sidecar.publish(service="orders", version="1.1")
        page.goto("/")
        problem = page.get_by_role("listitem").filter(
            has_text="deploys is switched off: its endpoint answered 410 Gone"
        )
        problem.wait_for()  # the page reads itself again
        problem.get_by_role("link", name="Look at the hook").click()
        assert page.get_by_text("What to do:").is_visible()
        sidecar.publish(service="orders", version="1.2")

        endpoint.status = 200
        page.get_by_role("button", name="Send the test").click()
        page.get_by_text("It arrived.").wait_for()
        page.goto("/console/deliveries?state=dead")
        page.get_by_label("Select all").check()
        page.get_by_role("button", name="Replay the selected").click()
        page.get_by_text("1 of 1").wait_for()
        assert page.get_by_text("1 delivered, 0 dead, 0 under way").is_visible()
        page.goto("/")
        page.get_by_role("heading", name="All is well").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Admin token").wait_for()


def test_it_works_without_javascript(chromium: Any, sidecar: Sidecar, endpoint: Endpoint) -> None:
    with page_of(chromium, sidecar, java_script_enabled=False) as page:
        make_hook(page, "plain", endpoint.url)
        page.get_by_role("button", name="Disable").click()
        page.get_by_role("button", name="Enable").click()
        page.get_by_role("button", name="Send the test").click()
        assert page.get_by_text("It arrived.").is_visible()
        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete it").click()
        assert page.get_by_text("No hooks").is_visible()
        page.goto("/console/live")
        # The switch of the browser's protocol shows no <noscript>, as a browser without scripts does.
        assert "This page needs JavaScript." in page.content()


def fill(sidecar: Sidecar, endpoint: Endpoint) -> dict[str, str]:
    """Have something of everything; return the pages by name."""
    webhook = {
        "source": "custom",
        "handler": "webhook",
        "config": {"url": endpoint.url, "headers": {"x-api-key": "k" * 9}},
    }
    hook = sidecar.call("POST", "/event-hooks", {"name": "deploys", **webhook, "tags": ["ci"]})["id"]
    pager = {**webhook, "filter": 'data.severity == "critical"', "config": {"url": "http://127.0.0.1:9/v2/enqueue"}}
    sidecar.call("POST", "/event-hooks", {"name": "pager", **pager})
    reference = {**webhook, "config": {"url": "{vault://env/no-such-url}"}}
    sidecar.call("POST", "/event-hooks", {"name": "team-chat", **reference})
    sidecar.call("POST", "/event-hooks", {"name": "audit", "source": "custom", "handler": "log", "snooze": 3600})
    sidecar.call("POST", "/event-hooks", {"name": "old-one", "source": "crud", "handler": "log", "enabled": False})
    event = ""
    for number in range(9):
        severity = "critical" if number % 4 == 0 else "info"
        event = sidecar.publish(service="orders", version=f"1.{number}", severity=severity)
    return {
        "overview": "/",
        "node": "/console/node",
        "hooks": "/console/hooks",
        "hook": f"/console/hooks/{hook}",
        "new": "/console/hooks/new",
        "form": f"/console/hooks/{hook}/edit",
        "custom-form": "/console/hooks/new?handler=webhook-custom",
        "delete": f"/console/hooks/{hook}/delete",
        "preview": f"/console/hooks/pager/preview?event_id={event}",
        "deliveries": "/console/deliveries",
        "delivery": f"/console/deliveries/{event}_{hook}",
        "events": "/console/events",
        "held-back": "/console/held-back",
        "live": "/console/live",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_overflows(
    chromium: Any, sidecar: Sidecar, endpoint: Endpoint, scheme: str, tmp_path: Path
) -> None:
    """``CONSOLE_SCREENSHOTS`` names a folder for pictures of the pages."""
    folder = Path(os.environ.get("CONSOLE_SCREENSHOTS", tmp_path))
    pages = fill(sidecar, endpoint)
    found: list[str] = []
    for width, viewport in WIDTHS.items():
        with page_of(chromium, sidecar, color_scheme=scheme, viewport=viewport) as page:
            page.goto(pages["delivery"])
            page.get_by_text("webhook-id").wait_for()
            for name, path in pages.items():
                page.goto(path)
                if name == "preview":
                    page.get_by_role("button", name="Preview").click()
                    page.get_by_role("heading", name="It fires").wait_for()
                page.screenshot(path=str(folder / f"console-{name}-{scheme}-{width}.png"))
                overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert overflow <= 0, f"{name} at {width} is {overflow} pixels too wide"
                found += [f"{name} {scheme} {width}: {each}" for each in serious(page)]
    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_login_is_accessible(chromium: Any, sidecar: Sidecar, scheme: str) -> None:
    for viewport in WIDTHS.values():
        with page_of(chromium, sidecar, log_in=False, color_scheme=scheme, viewport=viewport) as page:
            page.goto("/console/login")
            assert serious(page) == []
            page.get_by_label("Admin token").fill("wrong")
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("alert").wait_for()
            assert serious(page) == []
            page.evaluate("document.querySelector('label').remove()")
            assert serious(page) != [], "axe looks"


def test_errors_are_accessible(chromium: Any, sidecar: Sidecar) -> None:
    with page_of(chromium, sidecar) as page:
        page.goto("/console/hooks/new?handler=webhook")
        page.get_by_label("url").fill("http://127.0.0.1:1/")
        page.get_by_label("source").select_option("custom")
        page.get_by_label("name", exact=False).first.fill("no good")
        page.evaluate("document.querySelectorAll('[required]').forEach((one) => { one.required = false; })")
        with page.expect_response(lambda answer: answer.status == 400):
            page.get_by_role("button", name="Make the hook").click()
        assert page.get_by_label("name", exact=False).first.get_attribute("aria-invalid") == "true"
        assert serious(page) == []
        page.evaluate("document.querySelector('label[for=f-name]').remove()")
        assert serious(page)[0].startswith("label"), "axe looks"


def test_the_keyboard_reaches_what_matters(chromium: Any, sidecar: Sidecar) -> None:
    with page_of(chromium, sidecar) as page:
        page.goto("/console/hooks")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "New hook"
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/hooks/new")


def test_a_link_from_elsewhere_finds_the_session(chromium: Any, sidecar: Sidecar) -> None:
    with page_of(chromium, sidecar) as page:
        page.goto("about:blank")
        page.set_content(f'<a href="{sidecar.base}/console/hooks">the link in a chat</a>')
        page.get_by_role("link").click()
        page.get_by_role("heading", name="Hooks", exact=True).wait_for()


def test_nothing_from_outside_runs(chromium: Any, sidecar: Sidecar, endpoint: Endpoint) -> None:
    hook = {"name": "h", "source": "custom", "handler": "webhook", "config": {"url": endpoint.url}}
    made = sidecar.call("POST", "/event-hooks", hook)["id"]
    endpoint.status = 400
    with page_of(chromium, sidecar) as page:
        page.goto("/console/live")
        page.get_by_text("connected").wait_for()
        event = sidecar.publish(EVIL, **{EVIL: EVIL})
        page.get_by_role("heading", name="custom / <img").wait_for()
        page.get_by_text("Data").click()
        page.get_by_text("onerror").last.wait_for()
        for path in (
            f"/console/deliveries/{event}_{made}",
            "/console/events",
            "/console/deliveries",
            "/",
            "/console/hooks/h",
        ):
            page.goto(path)
            assert page.evaluate("window.hit") is None
        page.goto(f"/console/deliveries/{event}_{made}")
        page.get_by_text("alert(1)").wait_for()
        assert page.evaluate("window.hit") is None
