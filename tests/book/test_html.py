"""The built book: complete, typeset, searchable, and needing nothing from anywhere."""
import html
import importlib
import json
import re
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).parents[2] / "chapters"
PAGES = sorted(str(path.relative_to(CHAPTERS).with_suffix("")) for kind in ("md", "rst")
               for path in CHAPTERS.rglob(f"*.{kind}") if ".pytest_cache" not in path.parts)
REMOTE = re.compile(r'(?:<(?:script|link|img|source|iframe)\b[^>]*?(?:src|href)|@import|url\()[=\s"\'(]*((?:https?:)?//[^"\')\s>]+)')


PHONE = 390  # CSS pixels
FRAME = f"""<!DOCTYPE html><meta charset="utf-8"><pre id="answer"></pre>
<script>onmessage = (event) => {{ document.getElementById("answer").textContent = event.data; }};</script>
<iframe src="%s" style="width: {PHONE}px; height: 800px; border: 0"></iframe>"""
PROBE = """<script>
const scrolls = (node) => node.tagName != "ARTICLE"
  && (["auto", "scroll"].includes(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
const leaves = (node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !scrolls(node);
const named = (node) => `${node.tagName}.${node.getAttribute("class")} ${node.textContent.slice(0, 40)}`;
addEventListener("load", async () => {
  if (window.MathJax?.startup?.promise) await MathJax.startup.promise;
  const all = (selector) => [...document.querySelectorAll(selector)];
  parent.postMessage(JSON.stringify({
    typeset: all("mjx-container > svg").length,
    errors: all("[data-mjx-error]").map((node) => node.dataset.mjxError),
    figures: all("[class$=-figure] path.curve").length,
    window: innerWidth, scroll: document.documentElement.scrollWidth, wide: all("article *").filter(leaves).map(named) }), "*");
});
</script>"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_on_a_phone(built, dom, page):
    """Every formula is typeset, none with an error, and nothing is wider than the window."""
    path = built / f"{page}.html"
    source = path.read_text()
    probe, frame = (path.with_name(f"{path.stem}.{kind}.html") for kind in ("probe", "frame"))
    probe.write_text(source.replace("</body>", PROBE + "</body>"))
    frame.write_text(FRAME % probe.name)
    seen = json.loads(html.unescape(re.search(r'<pre id="answer">(.*?)</pre>', dom(frame), re.DOTALL)[1]))
    assert seen["window"] == PHONE
    assert seen["typeset"] == len(re.findall(r'class="math notranslate', source))
    assert seen["errors"] == []
    assert seen["scroll"] <= PHONE and seen["wide"] == []
    assert bool(seen["figures"]) == bool(re.search(r'class="[a-z]+-figure"', source))


def test_the_chapters_have_formulas(built):
    """So that counting them says something."""
    for page in PAGES:
        if re.match(r"0[0-7]-", page):
            assert 'class="math notranslate' in (built / f"{page}.html").read_text(), page


def test_nothing_is_fetched(built):
    """No page, style or script names another host (links that a reader may follow do)."""
    for path in built.rglob("*"):
        if path.suffix in (".html", ".css"):
            assert not REMOTE.findall(path.read_text()), path


def test_no_page_has_what_the_renderer_did_not_understand(built):
    for page in PAGES:
        text = re.sub(r"<(pre|script|style|code|dt)\b.*?</\1>", "", (built / f"{page}.html").read_text(), flags=re.DOTALL)
        text = re.sub(r'<(span|div) class="math.*?</\1>', "", text, flags=re.DOTALL)
        text = re.sub(r"<[^>]*>", "", text)
        assert not re.search(r"```|\$`|`\$|\*\*|:ref:|\{toctree\}|:math:", text), page


def test_search_finds(built, dom):
    """The page of a search, opened as a file, lists the chapter that says the word."""
    found = dom(built / "search.html", "?q=bifurcation")
    assert re.search(r'<a href="03-banner\.html[^"]*"', found)
    assert not re.search(r'<ul class="search">\s*</ul>', found)
    assert '<a href="03-banner' not in dom(built / "search.html", "?q=xyzzy")


def test_every_public_name_is_in_the_reference(built):
    for page in (CHAPTERS / "api").glob("*.rst"):
        reference = (built / "api" / f"{page.stem}.html").read_text()
        for name in re.findall(r"automodule:: (\S+)", page.read_text()):
            module = importlib.import_module(name)
            assert f'id="module-{name}"' in reference
            for public in getattr(module, "__all__", ()):
                value = getattr(module, public)
                there = (f"module-{value.__name__}" if isinstance(value, type(re)) else
                         f"{name}.{public}" if hasattr(value, "__name__") else rf"{name}[a-z0-9_.]*\.{public}")
                assert re.search(f'id="{there}"', reference), f"{name}.{public}"
