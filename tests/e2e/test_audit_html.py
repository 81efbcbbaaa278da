"""The audit's page in Chromium: nothing leaves, nothing foreign runs; it sorts, filters, copies, and can be read.

What it can't show: other browsers, and a screen reader. Skipped without Chromium, which `make setup` installs where it
can; with CI=true that is a failure.
"""

import base64
import datetime as dt
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from keylease.audit.model import Inventory, Record
from keylease.audit.policy import Sorted
from keylease.outputs.audit_report import render
from tests.e2e.browser import Browser, Proxy, program
from tests.unit.outputs.audit_samples import CREATED, INHERIT, POLICY, RULES, STALE, TRUST, sample
from tests.unit.outputs.test_audit_hostile import HOSTILE, everywhere

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

# Read now: the environment is scrubbed before the tests run.
IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
SHOTS = os.environ.get("KEYLEASE_SCREENSHOTS", "")
BROWSERS_OWN = re.compile(rb"\w+ (https?://)?[a-z0-9.-]+\.(google|googleapis|gvt1)\.com[:/]")
"""What Chromium asks for by itself, whatever page it shows: time, updates, accounts. It gets no answer."""

NOW = dt.datetime(2026, 9, 21, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Proxy]]:
    if program() is None:
        if IN_CI:
            pytest.fail("the audit's page must be tested in CI: there is no Chromium", pytrace=False)
        pytest.skip("no Chromium")
    proxy = Proxy()
    with Browser(tmp_path_factory.mktemp("browser"), proxy.address) as opened:
        yield opened, proxy
    proxy.close()


@pytest.fixture
def browser(running: tuple[Browser, Proxy]) -> Iterator[Browser]:
    """A fresh page. At its end: it asked for nothing but the file, no connection was made, the console is empty."""
    opened, proxy = running
    opened.fresh()
    yield opened
    opened.call("Emulation.setScriptExecutionDisabled", value=False)
    opened.listen(0.05)
    assert [each for each in opened.requests if not each.startswith(("file:///", "about:blank"))] == []
    assert [each for each in proxy.saw if not BROWSERS_OWN.match(each)] == []
    assert opened.complaints == []


def stamp(days: int) -> str:
    return (NOW - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def inventory() -> Inventory:
    """The sample's, with credentials of all ages."""
    _, _, found = sample()
    for each in range(40):
        facts: dict[str, Any] = {"name": f"SECRET_{each}", "holder": "acme", "level": "organization"}
        seen = [f"acme/r{repository}" for repository in range(each)]
        facts |= {"visibility": "selected", "repositories": seen, "updated_at": stamp(each * 9)}
        found.records.append(Record("github.secret", f"github://acme/secret/{each}", facts))
        ends = None if each % 4 else stamp(-each * 11)
        key = {"name": f"key-{each}", "created_at": stamp(each * 17), "expires_at": ends}
        found.records.append(Record("openai.key", f"openai://p/key/{each}", key))
    return replace(found, now=NOW)


def opened(browser: Browser, tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    browser.open(path)


def page(found: Sorted | None = None) -> str:
    verdict, sorted_, _ = sample()
    return render("html", verdict, found or sorted_, inventory(), rules=RULES, policy=POLICY, created=CREATED)


def many(number: int) -> str:
    """Findings of three severities, in no order."""
    kinds = (TRUST, INHERIT, STALE)
    found = [
        replace(kinds[each % 3], key=str(each), message=f"finding no-{each * 7919 % number:05} of many")
        for each in range(number)
    ]
    return page(Sorted(failing=found))


def shot(browser: Browser, name: str) -> None:
    """A picture of the whole page, where somebody wants to look at it."""
    if SHOTS:
        told = browser.call("Page.captureScreenshot", captureBeyondViewport=True)
        (Path(SHOTS) / f"{name}.png").write_bytes(base64.b64decode(told["data"]))


def messages(browser: Browser) -> list[str]:
    """The findings that are seen, in their order."""
    found: list[str] = browser.run(
        "[...document.querySelectorAll('.findings tbody tr')].filter(each => each.offsetHeight)"
        ".map(each => each.querySelector('summary').textContent)"
    )
    return found


def told(browser: Browser) -> str:
    return str(browser.run("document.getElementById('told').textContent"))


def choose(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"(() => {{const to = document.forms.filter.elements['{name}']; to.value = '{value}';"
        "to.dispatchEvent(new Event('change', {bubbles: true}));})()"
    )


HEADS = "document.querySelectorAll('.findings thead th')"


def test_sorting_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, page())
    before = messages(browser)
    assert len(before) == 7
    browser.run(f"{HEADS}[3].querySelector('button').focus()")
    browser.enter()
    assert messages(browser) == sorted(before, key=str.lower)
    assert browser.run(f"{HEADS}[3].getAttribute('aria-sort')") == "ascending"
    browser.enter()
    assert messages(browser) == sorted(before, key=str.lower, reverse=True)
    assert browser.run(f"{HEADS}[3].getAttribute('aria-sort')") == "descending"
    browser.run(f"{HEADS}[0].querySelector('button').focus()")
    browser.enter()
    severities = browser.run("[...document.querySelectorAll('.findings tbody tr')].map(each => +each.dataset.s)")
    assert severities == sorted(severities, reverse=True)
    assert browser.run(f"{HEADS}[3].getAttribute('aria-sort')") is None


def test_filters(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, page())
    choose(browser, "severity", "3")
    assert messages(browser) == [TRUST.message, STALE.message]
    assert told(browser) == "2 of 7 findings"
    choose(browser, "severity", "")
    choose(browser, "status", "waived")
    assert len(messages(browser)) == 1
    choose(browser, "status", "")
    choose(browser, "rule", "workflow-secrets-inherit")
    assert len(messages(browser)) == 3
    browser.run("document.querySelector('button[type=reset]').click()")
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert len(messages(browser)) == 7
    browser.run("document.forms.filter.elements.search.focus()")
    browser.type("OPENAI npm_token")
    browser.run("new Promise(done => setTimeout(done, 300))")
    assert messages(browser) == []
    browser.run("document.forms.filter.elements.search.select()")
    browser.type("NPM_token 412")
    browser.run("new Promise(done => setTimeout(done, 300))")
    assert messages(browser) == [STALE.message]


def test_a_finding_opens_by_keyboard_and_says_why(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, page())
    browser.run("document.querySelector('.findings tbody tr a').focus()")
    browser.tab()
    assert browser.run("document.activeElement.textContent") == TRUST.message
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.enter()
    browser.run("new Promise(done => setTimeout(done, 50))")
    shown = browser.run("document.activeElement.parentNode.innerText")
    assert "principal: token.actions.githubusercontent.com" in shown
    assert "a stranger's workflow is let in" in shown
    browser.enter()
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert "principal" not in browser.run("document.activeElement.parentNode.innerText")


def test_copying(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, page())
    browser.run("document.querySelector('.findings details').open = true")
    browser.run("window.got = null; navigator.clipboard.writeText = async text => {window.got = text}")
    press = (
        "(async () => {const to = document.querySelector('.findings .copy'); to.click();"
        "await new Promise(done => setTimeout(done, 50)); return to.nextElementSibling.textContent})()"
    )
    assert browser.run(press) == "Copied"
    block = TRUST.change.partition("\n\n")[2].rstrip("\n")
    assert browser.run("window.got") == block
    # Where the page may not write: what is to be copied is selected.
    browser.run("navigator.clipboard.writeText = () => Promise.reject(new Error()); document.execCommand = () => false")
    assert browser.run(press) == "Selected: press Ctrl+C or Cmd+C"
    assert browser.run("getSelection().toString()") == block
    browser.run("getSelection().removeAllRanges(); Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    assert browser.run(press) == "Selected: press Ctrl+C or Cmd+C"
    assert browser.run("getSelection().toString()") == block


RUNS = "</script></style></title></textarea>--><script>window.__pwned=1</script><img src=x onerror=window.__pwned=1>"


@pytest.mark.parametrize(
    "bad",
    [
        RUNS,
        f"\"' {RUNS}",
        '" onmouseover=window.__pwned=1 autofocus onfocus=window.__pwned=1 x="',
        "javascript:window.__pwned=1",
        "<svg onload=window.__pwned=1><a href='https://evil.example/'>x",
        "<link rel=stylesheet href=https://evil.example/x.css><meta http-equiv=refresh content='0;https://evil.example'>",
        "&lt;img src=x onerror=window.__pwned=1&gt;",
        *(HOSTILE[name] for name in ("bidi", "noncharacters", "surrogates", "quotes", "long")),
    ],
    ids=lambda bad: ascii(bad[:20]),
)
def test_names_never_run(browser: Browser, tmp_path: Path, bad: str) -> None:
    verdict, found, things, policy = everywhere(bad)
    found.failing.append(replace(TRUST, rule=bad, message=bad))
    facts = {"name": bad, "holder": bad, "visibility": bad, "level": "organization", "repositories": [bad]}
    things.records.append(Record("github.secret", bad, {**facts, "updated_at": stamp(3)}))
    opened(browser, tmp_path, render("html", verdict, found, things, rules=RULES, policy=policy, created=0))
    browser.run("document.querySelectorAll('details').forEach(each => {each.open = true})")
    browser.run("document.querySelectorAll('button').forEach(each => {if (each.className !== 'copy') each.click()})")
    browser.run("new Promise(done => setTimeout(done, 200))")
    assert browser.run("typeof window.__pwned") == "undefined"
    assert browser.run("document.querySelectorAll('img, link, iframe, object, embed, base, body script').length") == 0
    assert browser.run("document.title") == "Keylease audit"
    assert len(messages(browser)) == 6
    for width in (360, 1200):
        browser.size(width, 800)
        assert browser.run("document.documentElement.scrollWidth") <= width


def test_the_policy_stops_what_gets_in(browser: Browser, tmp_path: Path) -> None:
    """Even if a name got in as markup: the check above could not tell escaping from the policy."""
    text = page().replace(TRUST.message, f"{RUNS}<b style='color:red'>x</b>")
    opened(browser, tmp_path, text)
    browser.run("fetch('https://evil.example/').catch(() => 0)")
    browser.run("new Promise(done => setTimeout(done, 200))")
    assert browser.run("typeof window.__pwned") == "undefined"
    assert any("Content Security Policy" in each for each in browser.complaints)
    # The browser notes an address before the policy refuses it; the proxy has seen nothing.
    browser.complaints.clear()
    browser.requests.clear()


def test_the_proxy_would_see(running: tuple[Browser, Proxy], tmp_path: Path) -> None:
    """What a page without our policy asks for; else "nothing was asked for" would say nothing."""
    browser, proxy = running
    browser.fresh()
    opened(browser, tmp_path, "<!DOCTYPE html><img src=http://evil.example/x.png><script>throw 1</script>")
    browser.listen(0.2)
    assert "http://evil.example/x.png" in browser.requests
    assert browser.complaints
    asked = [each for each in proxy.saw if not BROWSERS_OWN.match(each)]
    assert [each.split()[1] for each in asked] == [b"http://evil.example/x.png"]
    proxy.saw.clear()


CONTRAST = """
(() => {
  const light = rgb => {
    const [r, g, b] = rgb.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const ratio = (a, b) => {const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05)};
  const ground = each => {
    for (; each; each = each.parentElement) {
      const found = parts(getComputedStyle(each).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  let seen = 0;
  for (const each of document.querySelectorAll('body *')) {
    const style = getComputedStyle(each), drawn = each instanceof SVGElement;
    const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const check = (colour, least) => {
      seen++;
      const got = ratio(parts(colour).slice(0, 3), ground(each).slice(0, 3));
      if (got < least) low.push(each.tagName + '.' + each.getAttribute('class') + ' ' + got.toFixed(2));
    };
    if (own && !['OPTION', 'title', 'desc'].includes(each.tagName)) check(drawn ? style.fill : style.color, 4.5);
    if (each.matches('rect.bar, rect.over')) check(style.fill, 3);
    if (each.matches('line.limit')) check(style.stroke, 3);
    if (each.matches('input, select, button.copy')) check(style.borderTopColor, 3);
    if (each.matches('input')) check(getComputedStyle(each, '::placeholder').color, 4.5);
  }
  return {low: [...new Set(low)], seen};
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser: Browser, tmp_path: Path, scheme: str) -> None:
    browser.scheme(scheme)
    opened(browser, tmp_path, page())
    browser.run("document.querySelectorAll('details').forEach(each => {each.open = true})")
    browser.run("new Promise(done => setTimeout(done, 50))")
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is (scheme == "light")
    measured = browser.run(CONTRAST)
    assert measured["low"] == []
    assert measured["seen"] > 200
    shot(browser, scheme)
    browser.run("document.body.style.setProperty('--soft', '#888')")
    browser.run(
        "document.querySelector('h1').style.color = document.querySelector('h1').style.backgroundColor = '#777'"
    )
    assert browser.run(CONTRAST)["low"], "the measure would tell"


@pytest.mark.parametrize("width", [320, 360, 700, 1200])
def test_no_width_scrolls_sideways(browser: Browser, tmp_path: Path, width: int) -> None:
    browser.size(width, 800)
    opened(browser, tmp_path, page())
    browser.run("document.querySelectorAll('details').forEach(each => {each.open = true})")
    assert browser.run("document.documentElement.scrollWidth") <= width
    shot(browser, f"width-{width}")


def test_without_javascript(browser: Browser, tmp_path: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    opened(browser, tmp_path, many(700))
    assert len(messages(browser)) == 700
    assert browser.run("document.forms.filter.offsetHeight") == 0
    assert browser.run("document.querySelector('.copy').offsetHeight") == 0
    browser.run("document.querySelector('.findings tbody summary').focus()")
    browser.enter()
    assert "principal" in browser.run("document.querySelector('.findings details').innerText")


def test_printing_opens_all_that_is_shown(browser: Browser, tmp_path: Path) -> None:
    browser.scheme("dark", media="print")
    opened(browser, tmp_path, page())
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("document.forms.filter.offsetHeight") == 0
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details[open]').length") == 0
    assert browser.call("Page.printToPDF")["data"].startswith("JVBERi")  # %PDF


def test_ten_thousand_findings(browser: Browser, tmp_path: Path) -> None:
    text = many(10_000)
    start = time.monotonic()
    opened(browser, tmp_path, text)
    took = time.monotonic() - start
    assert told(browser) == "10000 of 10000 findings, the first 500 shown"
    assert len(messages(browser)) == 500
    timed = "const start = performance.now(); {}; document.body.offsetHeight; return performance.now() - start"
    for column in range(5):
        click = f"{HEADS}[{column}].querySelector('button').click()"
        assert browser.run(f"(() => {{{timed.format(click)}}})()") < 1000
    browser.run(f"{HEADS}[3].querySelector('button').click()")
    assert messages(browser)[:2] == ["finding no-00000 of many", "finding no-00001 of many"]
    browser.run("document.getElementById('more').click()")
    assert len(messages(browser)) == 1000
    assert browser.run("document.activeElement.textContent") == "finding no-00500 of many"
    browser.run("document.forms.filter.elements.search.value = 'no-09999'")
    search = "document.forms.filter.requestSubmit()"
    assert browser.run(f"(() => {{{timed.format(search)}}})()") < 1000
    assert messages(browser) == ["finding no-09999 of many"]
    assert took < 10
