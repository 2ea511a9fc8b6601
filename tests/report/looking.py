"""How tests look at a report in a browser, and what they do there."""

from __future__ import annotations

from benchmarks.lab.browser import Browser
from tests.report.conftest import Made

# Switches to every score and to some lambdas; the ms of each until the next frame is drawn.
SWITCH = """(async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const took = {};
  const time = async (name, act) => {
    const start = performance.now();
    act();
    await frame();
    took[name] = performance.now() - start;
  };
  const [score, slider] = [document.getElementById("score"), document.getElementById("lambda")];
  const set = (input, value, event) => {
    input.value = value;
    input.dispatchEvent(new Event(event));
  };
  for (const option of [...score.options].map((one) => one.value).concat("similarity"))
    await time(option, () => set(score, option, "change"));
  for (const at of [0, 20, 60, 100])
    await time(`lambda ${at}`, () => set(slider, at, "input"));
  return took;
})()"""

# Texts whose contrast with what lies behind them is below 4.5, with the contrast.
CONTRAST = r"""(() => {
  const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((one) => {
      const c = one / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = parse(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    if (!node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const ink = parse(node.closest("svg") ? style.fill : style.color).slice(0, 3);
    const [high, low] = [luminance(ink), luminance(ground(node))].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) poor.push([ratio, walker.currentNode.data.trim().slice(0, 30)]);
  }
  return poor;
})()"""


def opened(browser: Browser, one: Made) -> Made:
    browser.resize(1200, 900)
    browser.emulate()
    browser.open(one.path)
    return one


def words(browser: Browser, selector: str) -> str:
    return str(browser.ask(f"document.querySelector({selector!r}).innerText"))


def rows_of(browser: Browser, table: str) -> list[list[str]]:
    return list(
        browser.ask(
            f"""[...document.querySelectorAll("[data-table={table}] tbody tr:not(.gap)")]
              .map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"""
        )
    )


def first_number(browser: Browser) -> float:
    """The similarity in the first row of the first choices."""
    return float(rows_of(browser, "choices")[0][3].split()[0])


def click_head(browser: Browser, table: str, key: int) -> str:
    head = f"document.querySelectorAll('[data-table={table}] thead th')[{key}]"
    browser.ask(f"{head}.querySelector('button').click()")
    return str(browser.ask(f"{head}.getAttribute('aria-sort')"))


def saved(browser: Browser, table: str, kind: str) -> str:
    """The text that a click on CSV or JSON would download."""
    return str(
        browser.ask(
            f"""(async () => {{
              let blob = null;
              URL.createObjectURL = (one) => ((blob = one), "blob:none");
              HTMLAnchorElement.prototype.click = () => null;
              document.querySelector(
                '[data-table={table}] button[aria-label="Download as {kind}"]').click();
              return await blob.text();
            }})()"""
        )
    )
