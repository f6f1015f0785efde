"""What the page shows first in each situation of a bot: a real serin, and a real browser. With SERIN_PICTURES each test saves
pictures in that folder, for a desktop, a phone and the dark scheme (`make screenshots`). SERIN_PLAY_SECS is a time before the tests in
which the charts fill."""

import os
import pathlib
import re
import time

import pytest
from browsing import DESKTOP, PHONE, browser, new_page
from conftest import wait_until
from play import TOKENS, Way, World
from playwright.sync_api import expect

PICTURES = os.environ.get("SERIN_PICTURES")
PLAY_SECS = int(os.environ.get("SERIN_PLAY_SECS", "0"))
LEARN_SECS = 8
SUSPICIOUS = 25
# With few errors, so that the evidence grows slowly and the page can show it.
SUSPICIOUS_SECS = 120
BOTS = {
    "orders": {"steps": ["25%", "50%", "98%", "100%"], "abort_at": 20000, "per_second": 40},
    "support": {"steps": ["5%", "10%", "25%", "50%", "98%", "100%"]},
    "billing": {"steps": ["50%", "80%", "100%"], "bake": "4s", "deadline": "6s", "at_deadline": "proceed"},
    "alerts": {"steps": ["25%", "50%", "100%"]},
    "search": {"steps": ["25%", "50%", "100%"]},
    "standup": {},
    "helpdesk": {},
    "polls": {"bake": "1s", "deadline": "2s", "harm": "0.01%"},
    "mentions": {},
    "deploys": {"per_second": 5},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"), BOTS, admin="show_workspaces = true\n")
    time.sleep(LEARN_SECS)
    for name in ("orders", "support", "billing", "alerts", "search", "standup", "helpdesk", "polls"):
        world.act(name, "rollouts", upstream="green", version="v42", reason="the release of the week")
    time.sleep(PLAY_SECS)
    yield world
    world.stop()


@pytest.fixture
def look(world, browser):
    """Opens an address with the token of `by`. At the end it asserts that the page had no error."""
    contexts, wrong = [], []

    def opened(address="", by="ana", port=None, viewport=DESKTOP):
        context = browser.new_context(viewport=viewport, reduced_motion="reduce")
        contexts.append(context)
        if by:
            context.add_init_script(f"sessionStorage.setItem('serin-token', '{TOKENS[by][1]}')")
        page = new_page(context, wrong)
        page.goto(f"http://127.0.0.1:{port or world.serin.admin_port}/{address}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def of(look, name, **options):
    page = look(f"#/bots/{name}", **options)
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    expect(page.locator("#connection")).to_contain_text("live")
    return page


def pictures(page, name):
    """Checks the page on a desktop, on a phone and in the dark scheme: nothing is wider than the window. Saves the pictures."""
    for kind, viewport, scheme in [("desktop", DESKTOP, "light"), ("phone", PHONE, "light"), ("dark", DESKTOP, "dark")]:
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("main h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name}, {kind}: something is wider than the window"
        if PICTURES:
            folder = pathlib.Path(PICTURES)
            folder.mkdir(parents=True, exist_ok=True)
            page.wait_for_timeout(300)
            page.screenshot(path=folder / f"{name}-{kind}.png", full_page=kind != "phone")
            if kind == "phone":
                page.screenshot(path=folder / f"{name}-phone-whole.png", full_page=True)
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")


def says(page, urgency, state, todo):
    """Asserts what the banner shows: the urgency, the state and what to do."""
    expect(page.locator(".top-card")).to_have_attribute("data-urgency", urgency)
    # A number and its unit are joined by a space that does not break.
    for part, text in [(".state", state), (".lines .todo", todo)]:
        expect(page.locator(part)).to_contain_text(re.compile(text.replace(" ", r"\s")))


def main_button(page, name):
    expect(page.locator("button.main")).to_have_text(re.compile(name))
    return page.locator("button.main")


def asks(page, button):
    """Presses a button. Returns its dialog once serin has answered what the action would do."""
    page.locator(".row.actions").get_by_role("button", name=button).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".tells")).not_to_contain_text("Asking serin")
    return dialog


def test_a_good_release_rises(world, look):
    page = of(look, "support")
    says(page, "watch", "v42", "Nothing to do")
    expect(page.locator("li[aria-current=step]")).to_contain_text("5 %")
    expect(page.locator("button.main.danger")).to_have_count(0)
    pictures(page, "rises")


def test_a_release_that_looks_worse(world, look):
    world.pairs["orders"][1].fails = 0.05
    for _ in range(SUSPICIOUS_SECS):
        if (world.bot("orders")["evidence"]["e_value"] or 0) >= SUSPICIOUS:
            break
        time.sleep(1)
    world.pairs["orders"][1].fails = 0.0
    page = of(look, "orders")
    says(page, "act", r"v42.*errors", "Abort")
    main_button(page, "^Abort")
    expect(page).to_have_title(re.compile("needs you"))
    errors = page.locator(".tile", has=page.get_by_role("heading", name="Errors"))
    expect(errors).to_contain_text("More on the canary")
    expect(errors.locator(".plot path.line.canary")).to_be_attached()
    pictures(page, "fails")
    dialog = asks(page, "Abort v42")
    expect(dialog.locator(".tells")).to_contain_text("v42")
    expect(dialog.locator(".tells")).to_contain_text("quarantine")
    pictures(page, "fails-question")
    if PICTURES:
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        page.set_viewport_size({"width": 1000, "height": 1100})
        page.wait_for_timeout(400)
        page.screenshot(path=pathlib.Path(PICTURES) / "readme.png")


def test_a_failing_release_was_taken_back(world, look):
    world.pairs["alerts"][1].fails = 1.0
    world.is_so("alerts", "is taken back", lambda bot: bot["phase"] == "aborted")
    page = of(look, "alerts")
    says(page, "none", "v42 was taken back at 25 %", "Nothing to do")
    expect(page.locator(".facts")).to_contain_text("Quarantined")
    expect(page.locator(".history li").first).to_contain_text("v42 is taken back from 25 %; everybody is on v41")
    expect(page.locator(".tile").filter(has_text="Errors").locator("line.mark.down").first).to_be_attached()
    pictures(page, "taken-back")


def test_a_promoted_release(world, look):
    world.is_so("billing", "is promoted", lambda bot: bot["phase"] == "promoted")
    page = of(look, "billing")
    says(page, "none", "v42", "Nothing to do")
    expect(page.locator(".history li").first).to_contain_text("v42 is promoted; everybody is on it")
    expect(page.locator(".sides")).to_contain_text("100 % stable: v42 on green")
    expect(page.locator(".tile", has_text="Share of the canary")).to_contain_text("everybody")
    pictures(page, "promoted")
    dialog = asks(page, re.compile("^Undo"))
    expect(dialog.locator(".tells")).to_contain_text("quarantine")
    pictures(page, "promoted-undo")


def test_a_release_that_takes_no_connections(world, look):
    world.pairs["search"][1].goes()
    world.is_so("search", "is taken to zero", lambda bot: bot["hold_reason"] == "breaker")
    page = of(look, "search")
    says(page, "act", "v42", "[Rr]esume")
    main_button(page, "Resume")
    expect(page.locator(".lines")).to_contain_text("safe")
    pictures(page, "refused-connections")
    dialog = asks(page, "Resume")
    expect(dialog.locator(".tells p").first).to_be_visible()
    pictures(page, "refused-connections-question")


def test_a_paused_rollout(world, look):
    world.act("standup", "pause", reason="we read the logs")
    page = of(look, "standup")
    says(page, "watch", "paused at 5 % by ana", "Resume")
    main_button(page, "Resume")
    expect(page.locator(".facts")).to_contain_text("we read the logs")
    pictures(page, "paused")


def test_a_frozen_bot(world, look):
    world.act("helpdesk", "freeze", by="ben", reason="the fair")
    page = of(look, "helpdesk")
    expect(page.locator(".facts")).to_contain_text("by ben: “the fair”")
    expect(page.get_by_role("button", name=re.compile("^Advance"))).to_have_count(0)
    page.get_by_text("All actions").click()
    advance = page.locator(".all li").filter(has=page.get_by_role("button", name=re.compile("^Advance")))
    expect(advance.get_by_role("button")).to_be_disabled()
    expect(advance).to_contain_text("the fair")
    pictures(page, "frozen")


def test_the_deadline_passed_and_a_human_is_asked(world, look):
    world.is_so("polls", "asks", lambda bot: bot["waits_for_human"])
    page = of(look, "polls")
    expect(page.locator(".top-card")).to_have_attribute("data-urgency", "act")
    main_button(page, "^Advance")
    pictures(page, "asks")


def test_one_workspace_fails_on_both_tracks(world, look):
    for upstream in world.pairs["mentions"]:
        upstream.broken = "T00003"
    world.act("mentions", "rollouts", upstream="green", version="v42")
    page = of(look, "mentions")
    expect(page.locator(".touched")).to_contain_text("T00003")
    page.get_by_role("button", name="T00003").first.click()
    expect(page.locator("form [role=status]")).to_contain_text("is in bucket")
    pictures(page, "one-customer")


def test_a_bot_at_rest(world, look):
    page = of(look, "deploys")
    says(page, "none", ".", "Nothing to do")
    pictures(page, "idle")


def test_a_read_token_has_no_enabled_button(world, look):
    page = of(look, "support", by="eve")
    expect(page.locator("#me")).to_contain_text("eve: may only look")
    expect(page.get_by_text("The token eve may only look").first).to_be_visible()
    page.get_by_text("All actions").click()
    for button in page.locator("fieldset.acting button").all():
        expect(button).to_be_disabled()
    pictures(page, "read-token")


def test_the_overview_is_for_triage(world, look):
    page = look()
    expect(page.get_by_role("region", name="Needs you").get_by_role("link", name="search")).to_be_visible()
    expect(page.get_by_role("region", name="At rest").get_by_role("link", name="deploys")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\(\d+\) .*need"))
    pictures(page, "overview")
    page.get_by_role("searchbox").fill("standup")
    expect(page.locator("article:visible")).to_have_count(1)
    page.get_by_role("link", name="standup").click()
    # The page itself need not be in front of others, which `to_be_focused` asks for too.
    # `wait_for_function` would evaluate text inside the page, which the page's own policy refuses.
    focused = "document.activeElement.matches('h1') && document.activeElement.textContent === 'standup'"
    wait_until("the bot's heading has the focus", lambda: page.evaluate(focused))


def test_a_stalled_network_is_shown_and_disables_the_buttons(world, look):
    way = Way(world.serin.admin_port)
    page = of(look, "support", port=way.port)
    dialog = asks(page, "Pause")
    way.flows.clear()
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator("#stale")).to_contain_text("No news from serin")
    for button in page.locator("fieldset.acting button").all():
        expect(button).to_be_disabled()
    expect(dialog.get_by_role("alert")).to_contain_text("not known whether it was done")
    pictures(page, "stalled")
    way.flows.set()
    expect(dialog.locator(".tells")).to_contain_text("What is so now")
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator("#stale")).to_be_hidden()
    wait_until("it was done after all", lambda: world.bot("support")["phase"] == "paused")
    world.act("support", "resume")
    way.close()


def test_where_a_token_is_needed(world, look):
    page = look(by=None)
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    field.fill("schlüssel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("“ü”")
    pictures(page, "sign-in")
