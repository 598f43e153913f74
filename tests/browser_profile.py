#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clicks through the page of quern profile --html in a browser without a window.

A script added to the page presses its buttons, sorts its table, zooms and points at its timeline,
and leaves what it saw as JSON in an element, which the browser hands out with the document.

usage: browser_profile.py PROGRAM FOLDER-OF-MODELS BROWSER
"""

import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CLICKS = """
<script>
const seen = { errors: [] };
addEventListener("error", e => seen.errors.push(e.message));
function column(i) { return [...document.querySelectorAll("#table tr")].slice(1).map(r => r.cells[i].textContent); }
function pixels() {
  const c = document.getElementById("timeline"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let painted = 0;
  for (let i = 3; i < d.length; i += 4) painted += d[i] > 0;
  return painted;
}
try {
  const canvas = document.getElementById("timeline"), span = () => +canvas.dataset.span;
  seen.title = document.getElementById("title").textContent;
  seen.steps = column(0);
  seen.rects = document.querySelectorAll("#layers rect").length;
  seen.dots = document.querySelectorAll("#roofline circle").length;
  document.querySelector('[data-phase="prefill"]').click();
  seen.prefill = document.getElementById("layers-title").textContent;
  document.querySelector('[data-phase="decode"]').click();
  seen.decode = document.getElementById("layers-title").textContent;
  document.querySelectorAll("#table th")[5].click();
  seen.down = column(5).map(Number);
  document.querySelectorAll("#table th")[5].click();
  seen.up = column(5).map(Number);
  seen.all = span();
  seen.painted = pixels();
  const at = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -100, clientX: at.left + 300, clientY: at.top + 60, cancelable: true }));
  seen.wheel = span();
  document.getElementById("in").click();
  seen.nearer = span();
  /* Within a pass a thread always works or waits. */
  setView(line.passes[3][1], line.passes[3][2]);
  seen.paintedNear = pixels();
  seen.tips = [];
  for (let x = 5; x < at.width; x += 20) {
    canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: at.left + x, clientY: at.top + 60 }));
    const tip = document.getElementById("tip");
    if (tip.style.display === "block") seen.tips.push(tip.textContent);
  }
  document.getElementById("fit").click();
  seen.fit = span();
} catch (e) { seen.errors.push(String(e)); }
const out = document.createElement("pre");
out.id = "seen";
out.textContent = JSON.stringify(seen);
document.body.appendChild(out);
</script>
"""


def page_of(program: str, models: str, folder: Path) -> dict:
    page = folder / "profile.html"
    subprocess.run([program, "profile", f"{models}/llama-trained-q8_0.gguf", "-p", "40", "-n", "16",
                    "-r", "2", "-t", "2", "--html", str(page)], check=True, capture_output=True)
    text = page.read_text()
    assert not re.search(r"(src|href)\s*=|https?://(?!www\.w3\.org)", text), "it needs the network"
    page.write_text(text.replace("</html>", CLICKS + "</html>"))
    return page


def look(browser: str, page: Path, folder: Path) -> dict:
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={folder}/browser", "--window-size=1200,1600", "--virtual-time-budget=5000",
         "--dump-dom", f"file://{page}"], check=True, capture_output=True, timeout=100)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout.decode(), re.DOTALL)
    assert found, f"the page did not run: {done.stdout[-400:]!r} {done.stderr[-400:]!r}"
    return json.loads(html.unescape(found[1]))


def check(seen: dict) -> None:
    assert seen["errors"] == [], seen["errors"]
    assert {"qkv", "attention", "gate_up", "down", "head"} <= set(seen["steps"]), seen["steps"]
    # Three layers with norm, attn, mlp and waiting; embedding and head with theirs.
    assert seen["rects"] >= 3 * 4 + 2 * 2, seen["rects"]
    assert seen["dots"] == 0, "no roofline was asked for"
    assert seen["prefill"].startswith("prefill: ") and seen["decode"].startswith("decode: ")
    assert seen["down"] == sorted(seen["down"], reverse=True) and len(seen["down"]) > 5
    assert seen["up"] == sorted(seen["up"])
    assert seen["wheel"] < seen["all"] and seen["nearer"] < seen["wheel"], seen
    assert seen["fit"] == seen["all"]
    assert seen["painted"] > 1000 and seen["paintedNear"] > 1000, "the timeline is empty"
    assert any("work" in tip and "us" in tip for tip in seen["tips"]), seen["tips"]


def main() -> int:
    program, models, browser = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        check(look(browser, page_of(program, models, folder), folder))
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
