"""The page in a real browser: every action by its button, updates while the page is open, desktop and phone, light and dark, keyboard
only. What the page shows in each situation is tested by test_situations.py."""

import http.client
import json
import re
import time

import pytest
from browsing import DESKTOP, PHONE, browser, new_page
from conftest import HERE, Serin, bot_config, python_bot, stub, wait_until
from play import Way
from playwright.sync_api import expect
from servers import PATIENCE_SECS
from test_ratchet import Traffic
from test_slack import SECRET

TOKEN = "a-token-to-operate"
READ_TOKEN = "a-token-to-read"
OWN_TOKEN = "a-token-of-one-bot"
SLOW = """
[bot.rollout]
steps = ["10%", "50%", "98%", "100%"]
bake = "1h"
deadline = "1h"
[bot.guard]
harm = "2%"
"""
LEARN_SECS = 8


@pytest.fixture
def open_page(browser):
    """Opens an address. At the end it asserts that the page had no error and loaded nothing from another server."""
    contexts, wrong, elsewhere = [], [], []

    def opened(serin, address="", viewport=DESKTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = new_page(context, wrong)
        home = f"http://127.0.0.1:{serin.admin_port}/"
        page.on("request", lambda asked: asked.url.startswith(home) or elsewhere.append(asked.url))
        page.goto(home + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert (wrong, elsewhere) == ([], [])


@pytest.fixture(scope="module")
def pair(start):
    pair = start("support", python_bot("slack_bot.py", SECRET), weight="0%", preset="slack", tables=SLOW)
    traffic = Traffic(pair.serin.port)
    time.sleep(LEARN_SECS)
    yield pair
    traffic.stop()


@pytest.fixture
def idle(pair):
    """The bot with all workspaces on blue and no rollout."""
    pair.gets("")
    status = pair.serin.status("support")
    if status["phase"] in ("progressing", "paused", "held", "manual") and status["canary"]:
        pair.act("support", "abort")
    if pair.serin.status("support")["stable"]["upstream"] != "blue":
        pair.act("support", "undo", force=True)
    if pair.serin.status("support")["frozen"]:
        pair.act("support", "thaw")
    return pair


@pytest.fixture(scope="module")
def two_bots(tmp_path_factory):
    """Two bots behind a serin that requires a token."""
    stubs = [stub("stable"), stub("canary")]
    ports = [server.server_port for server in stubs]
    tokens = "".join(f'[[admin.token]]\nname = "{name}"\nscope = "{scope}"\nsecret = "{secret}"\n' for name, scope, secret in [("ana", "operate", TOKEN), ("eve", "read", READ_TOKEN), ("ben", "operate", OWN_TOKEN)]) + 'bots = ["support"]\n'
    bots = [bot_config(name, ports, weight="0%", workspace=["header:X-Workspace-Id"]) for name in ("support", "orders")]
    bots[1] = bots[1].replace('name = "orders"', 'name = "orders"\nmatch = { path_prefix = "/orders" }')
    serin = Serin(tmp_path_factory.mktemp("guarded"), tokens + "".join(bots))
    yield serin
    serin.stop()
    for server in stubs:
        server.shutdown()


@pytest.fixture
def guarded(two_bots):
    """The same two bots, at 0 % and not frozen, with the config of their start. A bot whose canary serves could not leave the
    config."""
    config = two_bots.config.read_text()
    for name in ("support", "orders"):
        for method, action, document in [("PUT", "weight", {"percent": 0}), ("POST", "thaw", {})]:
            status, body = two_bots.admin(method, f"/v1/bots/{name}/{action}", document, TOKEN)
            assert status == 200, body
    yield two_bots
    if two_bots.config.read_text() != config:
        two_bots.config.write_text(config)
    wait_until("both bots are there", lambda: all(two_bots.admin("GET", f"/v1/bots/{name}", token=TOKEN)[0] == 200 for name in ("support", "orders")))


def act(page, name, fields=None, confirm=True):
    """Presses the button of an action, and confirms or cancels its dialog. Returns the text of the dialog."""
    everything = page.locator("details", has=page.locator("summary", has_text="All actions").or_(page.locator("summary", has_text="Actions for all bots"))).last
    if not everything.evaluate("details => details.open"):
        everything.locator("summary").click()
    everything.get_by_role("button", name=re.compile(f"^{name}")).click()
    dialog = page.get_by_role("dialog")
    for label, value in (fields or {}).items():
        field = dialog.get_by_label(label)
        if value is True:
            field.check()
        elif field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    confirmed = dialog.locator("button[type=submit]")
    expect(confirmed).to_be_enabled()
    text = dialog.inner_text().replace("\u00a0", " ")
    (confirmed if confirm else dialog.get_by_role("button", name="Cancel")).click()
    return text


def phase(page):
    return page.locator(".banner .phase")


def share(page):
    """The weight of the canary."""
    return page.locator(".sides .canary b")


def bot_page(open_page, pair, **options):
    page = open_page(pair.serin, "#/bots/support", **options)
    expect(page.get_by_role("heading", name="support", level=1)).to_be_visible()
    expect(page.locator("#connection")).to_contain_text("live")
    return page


def test_a_rollout_from_start_to_abort_by_buttons_alone(idle, open_page):
    page = bot_page(open_page, idle)

    act(page, "Start a rollout", {"Upstream": "green", "Version (a label, such as v42)": "v50", "Reason (stands in the history)": "a try"})
    expect(phase(page)).to_have_text("progressing")
    assert idle.serin.status("support")["canary"]["version"] == "v50"
    expect(page.locator("li[aria-current=step]")).to_contain_text("10 %")
    expect(page.locator(".history")).to_contain_text("“a try”")

    assert "still watched" in act(page, "Pause", {"Reason (stands in the history)": "lunch"})
    expect(phase(page)).to_contain_text("paused")
    assert idle.serin.status("support")["phase"] == "paused"
    expect(page.locator(".facts")).to_contain_text("by local: “lunch”")

    act(page, "Resume")
    expect(phase(page)).to_contain_text("progressing")

    assert "from 10 % to 50 %" in act(page, "Advance", confirm=False)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert idle.serin.status("support")["weight_percent"] == 10, "cancelling changes nothing"
    expect(page.get_by_text("The next step, 50 %, reaches about")).to_be_visible()
    act(page, "Advance")
    expect(page.locator("li[aria-current=step]")).to_contain_text("50 %")
    assert idle.serin.status("support")["weight_percent"] == 50

    question = act(page, "Abort")
    assert "v50 on green" in question and "back to blue" in question and "quarantined" in question
    expect(page.locator(".facts")).to_contain_text("v50 on green, taken back at 50 %")
    expect(phase(page)).to_have_text("aborted")
    assert idle.serin.status("support")["weight_percent"] == 0
    changes = json.loads(idle.serin.admin("GET", "/v1/bots/support/history")[1])["changes"]
    assert [change["decision"] for change in changes[:5]] == ["abort", "advance", "resume", "pause", "start"]
    assert changes[4]["reason"] == "a try"


def test_a_switch_and_its_undo(idle, open_page):
    page = bot_page(open_page, idle)
    act(page, "Switch everybody", {"Upstream": "green", "Version (a label, such as v42)": "v51"})
    expect(page.locator(".sides")).to_contain_text("100 % stable: v51 on green")
    question = act(page, "Undo")
    assert "v51 on green to blue" in question and "v51 on green is quarantined" in question
    expect(page.locator(".sides")).to_contain_text("100 % stable: blue")
    assert idle.serin.status("support")["stable"]["upstream"] == "blue"


def test_the_rare_actions(idle, open_page):
    page = bot_page(open_page, idle)
    act(page, "Drill")
    expect(page.locator(".history li").first).to_contain_text("drill")
    expect(page.locator(".facts")).to_contain_text("went well")
    assert idle.serin.status("support")["revision"] == int(page.locator(".revision").inner_text().split()[-1])
    assert "green" in act(page, "Drill", {"Buckets to send to the idle side for 5 s, and back": "10 %"})
    expect(share(page)).to_have_text("10 %")
    # The workspaces stay there for 5 s.
    expect(share(page)).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)
    act(page, "Freeze", {"Reason (stands in the history)": "the audit"})
    expect(page.locator(".facts")).to_contain_text("by local: “the audit”: nothing rises")
    assert idle.serin.status("support")["revision"] == int(page.locator(".revision").inner_text().split()[-1])
    start = page.locator(".all li", has_text="Start a rollout")
    expect(start.get_by_role("button")).to_be_disabled()
    expect(start).to_contain_text("the audit")
    act(page, "Thaw")
    expect(page.locator(".facts")).not_to_contain_text("Frozen")
    act(page, "Set the weight", {"Per cent of the buckets on the canary": "2.5"})
    expect(share(page)).to_have_text("2.5 %")
    act(page, "Abort")
    expect(share(page)).to_have_count(0)
    # Names the version that the serving side has already.
    act(page, "Adopt", {"Upstream": "blue", "Version (a label, such as v42)": "v53"})
    expect(page.locator(".sides")).to_contain_text("v53 on blue")


def test_a_decision_on_an_old_status_is_refused_and_asked_again(idle, open_page):
    page = bot_page(open_page, idle)
    page.get_by_text("All actions").click()
    page.get_by_role("button", name="Set the weight").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Per cent").fill("1")
    expect(dialog.locator("button[type=submit]")).to_be_enabled()
    idle.act("support", "freeze", reason="meanwhile")
    dialog.locator("button[type=submit]").click()
    expect(dialog.get_by_role("alert")).to_contain_text("changed this bot meanwhile, and nothing was done")
    # It is refused now, and the dialog shows why. Doing it with force takes a reason.
    expect(dialog.locator(".tells")).to_contain_text("meanwhile")
    expect(dialog.locator("button[type=submit]")).to_be_hidden()
    assert idle.serin.status("support")["weight_percent"] == 0
    dialog.get_by_label("Do it all the same").check()
    expect(dialog.locator("button[type=submit]")).to_be_visible()
    expect(dialog.locator("button[type=submit]")).to_be_disabled()
    dialog.get_by_label("Reason").fill("it must be")
    dialog.locator("button[type=submit]").click()
    expect(share(page)).to_have_text("1 %")


def test_an_open_page_shows_that_a_canary_is_taken_back(idle, open_page):
    desk = bot_page(open_page, idle)
    phone = bot_page(open_page, idle, viewport=PHONE, color_scheme="dark", is_mobile=True, has_touch=True)
    idle.act("support", "rollouts", upstream="green", version="v60")
    expect(phase(desk)).to_have_text("progressing")
    expect(desk.locator(".state")).to_contain_text("v60")
    errors = desk.locator(".tile", has=desk.get_by_role("heading", name="Errors"))
    expect(errors).to_have_class(re.compile("flat"))
    expect(errors).to_contain_text("stable 0 % (0 of")
    idle.gets("fails")
    for page in (desk, phone):
        expect(phase(page)).to_have_text("aborted")
        expect(page.locator(".history li").first).to_contain_text("v60 is taken back from 10 %")
        expect(page.locator(".state")).to_contain_text("taken back")
        expect(page.locator(".history li").first).to_contain_text("by serin itself")
    last = desk.locator(".history li").first
    last.get_by_text("What was known").click()
    expect(last.get_by_text("(fail), most of it from errors")).to_be_visible()
    # The charts show it after the next update, without a reload.
    expect(errors).not_to_have_class(re.compile("flat"))
    expect(errors.locator("line.mark.down").first).to_be_attached()


def unfold_the_largest(page):
    """Returns the list of the largest buckets. The page folds it again when their figures change, so one click can be too few."""
    largest = page.get_by_role("region", name="The largest buckets")

    def unfolded():
        if not largest.is_visible():
            page.get_by_text("The largest", exact=True).click()
        return largest.is_visible()

    wait_until("the largest buckets are shown", unfolded)
    return largest


def test_where_a_workspace_goes(idle, open_page):
    page = bot_page(open_page, idle)
    page.get_by_label("Where does a workspace go?").fill("T000001")
    page.get_by_role("button", name="Explain").click()
    known = json.loads(idle.serin.admin("GET", "/v1/bots/support/explain?workspace=T000001")[1])
    answer = page.locator("form [role=status]")
    expect(answer).to_contain_text(f"bucket {known['bucket']} and goes to stable (blue)")
    expect(unfold_the_largest(page).get_by_role("row")).to_have_count(11)


def test_a_name_is_never_markup(idle, open_page):
    name = "<img/src=x/onerror=document.title='pwned'>"
    page = bot_page(open_page, idle)
    idle.act("support", "rollouts", upstream="green", version=name, reason="<b>bold</b>")
    expect(page.locator(".sides").get_by_text(f"{name} on green")).to_be_visible()
    expect(page.locator(".history")).to_contain_text("“<b>bold</b>”")
    assert page.title().endswith("– serin") and "pwned" != page.title() and page.locator("main img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_is_accessible(idle, open_page, scheme, viewport):
    idle.act("support", "rollouts", upstream="green", version=f"v70-{scheme}-{viewport['width']}")
    page = open_page(idle.serin, "", viewport=viewport, color_scheme=scheme)
    page.add_init_script(path=HERE / "node_modules/axe-core/axe.min.js")
    page.reload()

    def check():
        found = page.evaluate("async () => (await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })).violations")
        assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is wider than the window"

    expect(page.get_by_role("link", name="support")).to_be_visible()
    check()
    page.get_by_role("link", name="support").click()
    expect(phase(page)).to_have_text("progressing")
    page.get_by_text("All actions").click()
    unfold_the_largest(page)
    check()
    page.locator(".row.actions").get_by_role("button", name="Abort").click()
    expect(page.get_by_role("dialog").locator("button[type=submit]")).to_be_enabled()
    check()


def test_every_action_works_by_keyboard(idle, open_page):
    idle.act("support", "rollouts", upstream="green", version="v80")
    page = bot_page(open_page, idle)
    focused = lambda: page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(20):
        page.keyboard.press("Tab")
        if focused() == "Pause":
            break
    assert focused() == "Pause"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert focused() == "Pause", "the focus returns to the button"
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_label("Reason").fill("by keyboard")
    expect(page.get_by_role("dialog").locator("button[type=submit]")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(phase(page)).to_contain_text("paused")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert re.match("Advance|Resume|Abort", focused()), "the button is gone, and the focus is on one beside it"
    chart = page.locator(".chart[aria-label^='Requests a second']")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(chart.locator(".cursor")).to_have_count(1)
    expect(chart.locator(".readout")).to_contain_text("stable")
    # All charts point to the same time.
    expect(page.locator(".tile[open] .cursor")).to_have_count(page.locator(".tile[open]").count())


def test_the_focus_stays_beside_an_action_that_goes(idle, open_page):
    idle.act("support", "rollouts", upstream="green", version="v81")
    page = bot_page(open_page, idle)
    page.get_by_role("button", name="Pause", exact=True).focus()
    idle.act("support", "pause")
    expect(phase(page)).to_contain_text("paused")
    focused = page.evaluate("document.activeElement.textContent")
    assert re.match("Advance|Resume|Abort", focused), f"another client paused, and the focus is on {focused[:40]!r}"


def test_the_focus_returns_to_the_actions_after_a_question_whose_button_is_gone(idle, open_page):
    idle.act("support", "rollouts", upstream="green", version="v82")
    page = bot_page(open_page, idle)
    page.get_by_role("button", name="Pause", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    idle.act("support", "pause")
    expect(phase(page)).to_contain_text("paused")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    focused = page.evaluate("document.activeElement.textContent")
    assert re.match("Advance|Resume|Abort", focused), f"the focus is on {focused[:40]!r}"


def test_the_token_is_asked_for_once(guarded, open_page):
    page = open_page(guarded)
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("link", name="support")).to_have_count(0)
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("link", name="support")).to_be_visible()
    expect(page.get_by_role("link", name="orders")).to_be_visible()
    page.reload()
    page.get_by_role("link", name="orders").click()
    act(page, "Set the weight", {"Per cent of the buckets on the canary": "3"})
    expect(share(page)).to_have_text("3 %")
    expect(page.locator(".history li").first).to_contain_text("by ana")
    page.get_by_role("button", name="Forget the token").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()


def test_a_read_token_is_named_and_has_no_actions(guarded, open_page):
    page = open_page(guarded, "#/bots/support")
    page.get_by_label("Token", exact=True).fill(READ_TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="support", level=1)).to_be_visible()
    expect(page.locator("#me")).to_contain_text("eve: may only look")
    expect(page.get_by_text("The token eve may only look").first).to_be_visible()
    page.get_by_text("All actions").click()
    for button in page.locator("fieldset.acting button").all():
        expect(button).to_be_disabled()


def test_the_page_says_that_a_bot_is_unknown(guarded, open_page):
    page = open_page(guarded)
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="support")).to_be_visible()
    page.goto(page.url.split("#")[0] + "#/bots/nobody")
    expect(page.get_by_role("alert")).to_contain_text('there is no bot "nobody"')


def test_one_button_freezes_all_bots(guarded, open_page):
    page = open_page(guarded)
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("article")).to_have_count(2)
    act(page, "Freeze all", {"Reason (stands in the history)": "the fair"})
    expect(page.locator("article .badge", has_text="frozen")).to_have_count(2)
    act(page, "Thaw all")
    expect(page.locator("article .badge", has_text="frozen")).to_have_count(0)


def test_a_bot_that_leaves_is_gone_and_comes_back(guarded, open_page):
    pages = [open_page(guarded), open_page(guarded, "#/bots/orders")]
    for page in pages:
        page.get_by_label("Token", exact=True).fill(TOKEN)
        page.keyboard.press("Enter")
    overview, orders = pages
    expect(overview.locator("article")).to_have_count(2)
    expect(orders.get_by_role("heading", name="orders", level=1)).to_be_visible()
    both = guarded.config.read_text()
    guarded.config.write_text(both[: both.rindex("[[bot]]")])
    expect(overview.locator("article")).to_have_count(1)
    expect(orders.get_by_role("alert")).to_contain_text('there is no bot "orders"')
    guarded.config.write_text(both)
    expect(overview.locator("article")).to_have_count(2)
    expect(orders.get_by_role("heading", name="orders", level=1)).to_be_visible()


def test_a_token_of_some_bots_sees_these_alone(guarded, open_page):
    page = open_page(guarded)
    page.get_by_label("Token", exact=True).fill(OWN_TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="support")).to_be_visible()
    expect(page.locator("#connection")).to_contain_text("live")
    expect(page.get_by_role("link", name="orders")).to_have_count(0)
    page.get_by_role("link", name="support").click()
    act(page, "Freeze")
    expect(page.locator(".history li").first).to_contain_text("by ben")
    act(page, "Thaw")
    orders = open_page(guarded, "#/bots/orders")
    orders.get_by_label("Token", exact=True).fill(OWN_TOKEN)
    orders.keyboard.press("Enter")
    expect(orders.get_by_role("alert")).to_contain_text("there is no bot")


def test_behind_a_proxy_the_page_says_that_a_token_is_needed(pair, browser):
    context = browser.new_context(extra_http_headers={"X-Forwarded-For": "192.0.2.1"})
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{pair.serin.admin_port}/")
    expect(page.get_by_role("alert")).to_contain_text("[[admin.token]]")
    expect(page.get_by_label("Token")).to_have_count(0)
    context.close()


def test_the_page_explains_a_tunnel_on_another_port(pair, browser):
    way = Way(pair.serin.admin_port)
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{way.port}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("serin does not answer here")
    expect(page.get_by_role("alert")).to_contain_text(f"Host \"127.0.0.1:{way.port}\"")
    page.close()
    way.close()


def test_the_page_is_emptied_when_its_token_is_removed(guarded, open_page):
    page = open_page(guarded, "#/bots/support")
    page.get_by_label("Token", exact=True).fill(READ_TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_contain_text("live")
    config = guarded.config.read_text()
    guarded.config.write_text(config.replace(READ_TOKEN, "another-token-to-read"))
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="support", level=1)).to_have_count(0)
    guarded.config.write_text(config)


def test_the_page_has_a_strict_policy_and_an_etag(guarded):
    connection = http.client.HTTPConnection("127.0.0.1", guarded.admin_port, timeout=PATIENCE_SECS)
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200 and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    connection.request("GET", "/", headers={"If-None-Match": answer.headers["ETag"]})
    again = connection.getresponse()
    assert (again.status, again.read()) == (304, b"")


def test_the_page_reconnects_after_a_restart_of_serin(guarded, open_page):
    page = open_page(guarded, "#/bots/support")
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_contain_text("live")
    guarded.stop()
    expect(page.locator("#connection")).to_contain_text("does not answer")
    page.get_by_role("link", name="All bots").click()
    expect(page.get_by_role("alert")).to_contain_text("serin does not answer")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    guarded.start()
    expect(page.locator("#connection")).to_contain_text("live")
    expect(page.locator("article")).to_have_count(2)
    page.get_by_role("link", name="support").click()
    act(page, "Freeze", {"Reason (stands in the history)": "after the restart"})
    expect(page.locator(".facts")).to_contain_text("by ana: “after the restart”")
