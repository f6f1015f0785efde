"""The browser for the tests of the page: window sizes, time limits, and a list of the errors on a page."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright
from servers import PATIENCE_SECS

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
WAIT_MS = PATIENCE_SECS * 1000
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def new_page(context, wrong):
    """A new page of the context. Its errors are appended to `wrong`."""
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # The browser reports each answer from 400 on. Some tests cause such answers.
    page.on("console", lambda said: said.type == "error" and "Failed to load resource" not in said.text and wrong.append(said.text))
    return page
