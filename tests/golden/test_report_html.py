"""The HTML report: well-formed, nothing from elsewhere, nothing unescaped, and the same numbers as JSON has."""
import collections
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from refquant.commands.vectors import REPORTS
from refquant.golden import html, htmlcase, vector
from refquant.golden.device import Answered
from refquant.golden.diagnose import Cause
from refquant.golden.explain import explain
from refquant.golden.files import npy
from refquant.golden.markup import Markup, element, join
from refquant.golden.operations import OPERATIONS
from refquant.golden.pictures import difference_map, grid, histogram
from refquant.golden.report import FORMATS
from refquant.golden.verify import CaseResult, Difference, Report, TensorResult, verify
from refquant.golden.wording import value

HOSTILE = "</style><script>alert(1)</script><img src=//evil.example onerror=x> ' \" & &amp; \x00\x1b[31m\ud800\ufffe\u202e\n]]> <!-- --x"
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "h4", "p", "div", "span", "b", "i", "small", "code", "pre", "ul", "li", "footer", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "svg", "rect", "g", "path", "ellipse", "text"}


class Node:
    def __init__(self, name, attributes, parent):
        self.name, self.attributes, self.parent, self.children = name, dict(attributes), parent, []

    def all(self, name, **attributes):
        wanted = {key.rstrip("_"): text for key, text in attributes.items()}
        for child in self.children:
            if isinstance(child, Node):
                if child.name == name and wanted.items() <= child.attributes.items():
                    yield child
                yield from child.all(name, **attributes)

    @property
    def text(self):
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


class Tree(HTMLParser):
    """A parser that takes nothing on trust: every tag is known, closed, and closed in order."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.root = self.at = Node("", {}, None)
        self.feed(page)
        self.close()
        assert self.at is self.root, f"<{self.at.name}> is not closed"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        node = Node(tag, attrs, self.at)
        self.at.children.append(node)
        if tag != "meta":
            self.at = node

    def handle_endtag(self, tag):
        assert tag == self.at.name, f"</{tag}> closes <{self.at.name}>"
        self.at = self.at.parent

    def handle_startendtag(self, tag, attrs):
        raise AssertionError(f"<{tag}/>")

    def handle_data(self, data):
        self.at.children.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl):
        assert decl == "doctype html" and not self.root.children


def parsed(page):
    """The page's tree, after what every page must be: complete, of known tags, with nothing that is fetched or run."""
    page.encode("ascii")
    tree = Tree(page).root
    assert {node.name for node in tree.all_nodes()} <= TAGS | {"title"}
    for node in tree.all_nodes():
        assert not {"src", "href", "xlink:href", "action", "data", "srcset"} & node.attributes.keys()
        assert not any(name.startswith("on") for name in node.attributes)
        assert "style" not in node.attributes or re.fullmatch(r"flex: \d+", node.attributes["style"])
    (style,) = tree.all("style")
    assert not re.search(r"url|import|//", style.text)
    assert all(c.isprintable() or c == "\n" for c in page)
    return tree


def all_nodes(node):
    for child in node.children:
        if isinstance(child, Node):
            yield child
            yield from all_nodes(child)


Node.all_nodes = all_nodes


def built(op, id, **attrs):
    operation = OPERATIONS[op]
    stimuli = [s for s in operation.stimuli(1, 0) if attrs.items() <= s.attrs.items()]
    return vector.build(operation, min(stimuli, key=lambda s: sum(a.size for a in s.inputs.values())), 0, id)


class Device:
    """Wrong on purpose, each case in its own way, by its id."""

    def answer(self, case):
        from refquant.golden import Unsupported
        from refquant.golden.device import NoAnswer
        if case.id.startswith("silent"):
            raise NoAnswer(HOSTILE)
        if case.id == "declined":
            raise Unsupported(HOSTILE)
        answer = {name: array.copy() for name, array in case.expected.items()}
        out = answer["out_y"]
        if case.id == "few":
            out[1, 2], out[3, 4], out[5, 5] = out[1, 2] ^ 1, out[3, 4] ^ 1, ~out[5, 5]
        if case.id == "floats":
            out[:] = np.nan
            out.flat[1] = np.inf
        if case.id == "all":
            answer["out_y"] = ~out
        return answer


@pytest.fixture(scope="module")
def report():
    cases = [built("gemm.forward", "few", format="s8"), built("quantize.dequantize", "floats"), built("conv.dx", "all"),
             *(built("gemm.db", id) for id in ("right", "silent1", "silent2", "declined"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refquant.golden.diagnose.SECONDS", 0.1)  # nothing explains these: no need to try all pairs
        return verify(cases, Device(), f"dut {HOSTILE}")


@pytest.fixture(scope="module")
def tree(report):
    return parsed(FORMATS["html"](report))


def section(tree, id):
    (found,) = [node for node in tree.all("details") if next(node.all("b")).text == id]
    return found


def test_the_names_of_the_formats():
    assert tuple(FORMATS) == REPORTS


def test_totals_and_the_table_of_operations_agree_with_json(report, tree):
    read = json.loads(FORMATS["json"](report))
    tiles = next(tree.all("div", class_="totals")).children
    assert [(tile.children[1], int(tile.children[0].text)) for tile in tiles] == [
        (html.STATUSES[status][0], count) for status, count in read["counts"].items()]
    assert next(tree.all("h1")).text == "FAIL"
    rows = [[cell.text for cell in row.all("td")] for row in list(tree.all("table"))[-1].all("tr")][1:]
    expected = collections.defaultdict(collections.Counter)
    for result in read["results"]:
        expected[result["op"]][result["status"]] += 1
    assert {op: [int(n) for n in counts] for op, *counts in rows} == {
        op: [found.total(), *(found[status] for status in html.STATUSES)] for op, found in expected.items()}


def test_every_failing_case_has_its_numbers(report, tree):
    for result in json.loads(FORMATS["json"](report))["results"]:
        if result["status"] != "fail":
            continue
        found = section(tree, result["id"])
        for tensor, heading, table in zip([t for t in result["tensors"] if t["different"]], found.all("h4"), found.all("table"), strict=False):
            assert heading.text.startswith(f"{tensor['name']} ")
            assert f": {tensor['different']} of {tensor['elements']} differ" in heading.text
            rows = [[cell.text for cell in row.all("td")] for row in table.all("tr")][1:]
            assert [row[:3] for row in rows] == [
                [", ".join(map(str, first["index"])), *(value(float(v) if isinstance(v, str | float) else v) for v in (first["got"], first["expected"]))]
                for first in tensor["first"]]
            assert [row[3] for row in rows] == [", ".join(f"{name} {n}" for name, n in first["behind"].items()) for first in tensor["first"]]
    assert {next(node.all("b")).text for node in tree.all("details") if list(node.all("pre"))} == {"few", "floats", "all"}


def test_the_first_section_only_is_open(tree):
    assert [next(node.all("b")).text for node in tree.all("details") if "open" in node.attributes] == ["few"]


@pytest.mark.parametrize("id", ["few", "floats", "all"])
def test_the_first_difference_is_explained(report, tree, id):
    (result,) = [result for result in report.results if result.id == id]
    first = result.tensors[0].first[0] if result.tensors[0].different else result.tensors[1].first[0]
    told = explain(result.failure.vector, first.index, "out_y", repr(first.got)).splitlines()[1:]
    (pre,) = section(tree, id).all("pre")
    shown = pre.text.splitlines()
    assert len(told) < sum(htmlcase.STEPS) and shown == told
    assert value(first.got) in pre.text and value(first.expected) in pre.text


def test_hostile_text_is_shown_as_it_is(tree):
    """What a browser would show of it, control characters as escapes; the tree has no script and no image."""
    escaped = HOSTILE.replace("\x00", r"\x00").replace("\x1b", r"\x1b").replace("\ud800", r"\ud800").replace("\ufffe", r"\ufffe").replace("\u202e", r"\u202e")
    (silent,) = [node for node in tree.all("details") if "silent1" in node.text]
    assert next(silent.all("b")).text == "2 × gemm.db" and escaped in silent.text and "silent2" in silent.text
    assert escaped in next(tree.all("ul")).text
    assert escaped in next(tree.all("code")).text
    assert escaped in next(tree.all("title")).text


def cells_of(picture):
    """The cells that a map's paths cover: {(row, column): opacity}."""
    covered = {}
    for path in picture.all("path", class_="differs"):
        opacity = float(path.attributes.get("stroke-opacity", 1))
        assert re.fullmatch(r"(M\d+ \d+h\d+)+", path.attributes["d"])
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)", path.attributes["d"]):
            for column in range(int(x), int(x) + int(length)):
                assert (int(y), column) not in covered
                covered[int(y), column] = opacity
    return covered


@pytest.mark.parametrize("shape, matrix", [
    ((6, 6), (6, 6)), ((24, 12), (24, 12)), ((2, 3, 4, 5), (24, 5)), ((8, 16, 1, 1), (8, 16)), ((1, 7, 1, 9), (7, 9)),
    ((), (1, 1)), ((5,), (1, 5)), ((32,), (1, 32)), ((33,), (2, 32)), ((1, 100, 1), (4, 32)), ((1024,), (32, 32)), ((96, 64), (96, 64)),
])
def test_a_map_marks_the_elements_that_differ(shape, matrix):
    """A cell an element, at its place in the matrix; all others are left alone. The ring is about the first."""
    rng = np.random.default_rng(sum(shape))
    for share in (0.0, 0.3, 1.0):
        wrong = np.asarray(rng.random(shape) < share)
        wrong.flat[wrong.size // 2] = True
        padded = np.zeros(matrix, bool)
        padded.flat[:wrong.size] = wrong.reshape(-1)
        tree = Tree(difference_map(wrong)).root
        assert cells_of(tree) == {(int(r), int(c)): 1.0 for r, c in np.argwhere(padded)}
        (group,), (ring,) = tree.all("g"), tree.all("ellipse")
        x, y, width, height = map(float, re.fullmatch(r"translate\((.+),(.+)\) scale\((.+),(.+)\)", group.attributes["transform"]).groups())
        row, column = np.argwhere(padded)[0]
        assert float(ring.attributes["cx"]) == pytest.approx(x + (column + 0.5) * width, abs=0.01)
        assert float(ring.attributes["cy"]) == pytest.approx(y + row * height, abs=0.01)


@pytest.mark.parametrize("shape, bins", [((512, 512), (8, 8)), ((97, 65), (2, 2)), ((4, 50, 3), (4, 1)), ((10**6,), (16, 16)), ((3, 512), (1, 8)), ((192, 64), (2, 1))])
def test_a_large_map_is_binned(shape, bins):
    """A bin is marked where any of its elements differs, and is the darker the more do."""
    wrong = np.random.default_rng(3).random(shape) < 0.02
    wrong.flat[-1] = True
    matrix = wrong.reshape(-1, shape[-1]) if len(shape) > 1 else np.resize(np.append(wrong, np.zeros(1024 * 1024 - wrong.size, bool)), (1024, 1024))[:977]
    counts = collections.Counter((int(r) // bins[0], int(c) // bins[1]) for r, c in np.argwhere(matrix))
    found = grid(wrong)
    assert found.bin == bins and found.elements.sum() == wrong.size and found.differing.sum() == wrong.sum()
    assert max(found.differing.shape) <= 96
    shown = cells_of(Tree(difference_map(wrong)).root)
    assert shown.keys() == counts.keys()
    by_share = sorted((count / found.elements[cell], shown[cell]) for cell, count in counts.items())
    assert [opacity for _, opacity in by_share] == sorted(shown.values())
    assert len(difference_map(wrong)) < 80_000
    assert len(difference_map(np.ones(shape, bool))) < 8_000


def test_a_bin_that_is_all_wrong_is_told_from_one_that_is_almost():
    wrong = np.ones((96 * 32, 64 * 32), bool)
    wrong[40, 170] = False  # one of 1024
    shown = cells_of(Tree(difference_map(wrong)).root)
    assert shown.pop((1, 5)) < 1 and set(shown.values()) == {1.0} and len(shown) == 96 * 64 - 1


def test_labels_are_indices():
    """Rows by the indices of all axes but the last, columns by the last one's; a wrapped row by its first element's."""
    def labels(shape):
        return [node.text for node in Tree(difference_map(np.ones(shape, bool))).root.all("text")]
    assert labels((3, 2)) == ["0", "1", "2", "0", "1", "axis 0 ↓", "axis 1 →"]
    assert {"1,2,3", "0,1,0", "axes 0, 1, 2 ↓", "axis 3 →"} <= set(labels((2, 3, 4, 5)))
    assert {"0", "32", "64", "+0", "+4", "axis 0 →"} <= set(labels((70,)))
    assert {"256", "480"} <= set(labels((512, 512)))
    assert grid(np.ones((512, 512), bool)).row_label(3) == "24"
    assert grid(np.ones((50, 4, 3), bool)).row_label(7) == "7,0"  # rows 28..31 of 200


def test_the_histogram():
    counts = {"+1": 100, "-3": 5, "+nan": 2, "-2.5": 50, "+inf": 1, "others": 7}
    tree = Tree(histogram(counts)).root
    texts = [node.text for node in tree.all("text")]
    assert list(zip(texts[::2], texts[1::2], strict=True)) == [("-3", "5"), ("-2.5", "50"), ("+1", "100"), ("+inf", "1"), ("+nan", "2"), ("others", "7")]
    lengths = [float(node.attributes["width"]) for node in tree.all("rect")]
    assert lengths[1] == lengths[2] / 2 and min(lengths) >= 2


def test_markup():
    assert element("a", "<&>\"'", Markup("<b>"), 3, class_="x\"'<", fill_opacity=0.5, open=True, no=None) == (
        "<a class=\"x&quot;&#x27;&lt;\" fill-opacity=\"0.5\" open>&lt;&amp;&gt;&quot;&#x27;<b>3</a>")
    assert join(["<", Markup("<i>")], "&") == "&lt;&amp;<i>"
    assert element("p", "a\x07\nb\ud800") == "<p>a\\x07\nb\\ud800</p>"


def failed(n, op="gemm.forward"):
    first = tuple(Difference((i, 2, 3), 2**63 - i, -(2**62), {"acc": 12345}) for i in range(5))
    histogram = {f"{i:+}": i for i in range(1, 9)} | {"others": 5}
    return CaseResult(f"{op.replace('.', '_')}_{n:05}_" + "x" * 80, op, "fail", "", [TensorResult("out_y", 10**6, 5, 9, first, histogram, "all at index 3")],
                      "all 1000 equal some_mutant: of whom something is said")


def test_thousands_of_failures_stay_readable(tree):
    """Some in full, as many of every operation as there is room for; more as lines; what is left out is counted."""
    results = [failed(n) for n in range(5000)] + [failed(n, "conv.dx") for n in range(20)]
    results += [CaseResult(f"e{n}", "gemm.dx", "error", f"{n} " + "long " * 10000) for n in range(500)]
    results += [CaseResult(f"u{n}", "gemm.dw", "unsupported", f"{n} " + "long " * 10000) for n in range(500)]
    page = FORMATS["html"](Report("dut " * 10000, results, []))
    assert len(page) < 2_000_000
    tree = parsed(page)
    full = [next(node.all("b")).text for node in tree.all("details") if list(node.all("table"))]
    assert len(full) == html.SECTIONS and sum("conv_dx" in id for id in full) == 20
    lines = list(tree.all("li"))
    assert len(lines) == html.LISTED + html.REASONS
    left_out = 5020 - html.SECTIONS - html.LISTED
    assert f"and {left_out} cases more: no room here; --report json has all" in tree.text
    assert f"and {500 - html.REASONS} more messages" in tree.text and f"and {500 - html.REASONS} more reasons" in tree.text
    assert [cell.text for cell in list(tree.all("tr"))[-4].all("td")][:4] == ["gemm.forward", "5000", "0", "5000"]


def test_long_explanations_are_cut_in_the_middle(report, monkeypatch):
    monkeypatch.setattr(htmlcase, "STEPS", (2, 3))
    monkeypatch.setattr(htmlcase, "LINE", 25)
    (few,) = [result for result in report.results if result.id == "few"]
    shown = next(Tree(htmlcase.section(few, np.inf, False)).root.all("pre")).text.splitlines()
    assert len(shown) == 6 and " more " in shown[2]
    assert all(len(line) <= 25 or line.endswith(" more characters") for line in shown)


def test_no_time_to_explain(report):
    (few,) = [result for result in report.results if result.id == "few"]
    part = Tree(htmlcase.section(few, -np.inf, False)).root
    assert not list(part.all("pre")) and "refquant vectors explain SUITE few --tensor out_y --at 1,2 --got " in part.text


def test_a_pass_and_a_run_that_compared_nothing():
    passed = parsed(FORMATS["html"](Report("dut", [CaseResult("a", "gemm.dw", "pass")], [])))
    assert next(passed.all("h1")).text == "PASS" and not list(passed.all("details"))
    assert [node.text for node in passed.all("h2")] == ["By operation"]
    nothing = parsed(FORMATS["html"](Report("dut", [CaseResult("a", "gemm.dw", "unsupported", "no")], [])))
    assert next(nothing.all("h1")).text == "NOTHING COMPARED"


def test_causes():
    causes = [Cause("gemm.dw", "a->b", "<says>", 3, 4, 1), Cause("gemm.dx", "", "no known mistake", 2, 2)]
    tree = parsed(FORMATS["html"](Report("dut", [failed(0)], causes)))
    known, unknown = (next(tree.all("div", class_=kind)).text for kind in ("cause", "cause unknown"))
    assert known == "a->b: <says>gemm.dw; explains 3 of 4 failures examined; 1 other cases speak against it"
    assert unknown == "no known mistakegemm.dx; 2 of 2 failures examined"


def test_other_formats_know_nothing_of_it(report):
    read = json.loads(FORMATS["json"](report))
    assert set(read) == {"device", "results", "causes", "exit_code", "counts"}
    assert {key for result in read["results"] for key in result} == {"id", "op", "status", "message", "tensors", "cause"}


def test_from_outside(tiny, copied, refquant, tmp_path):
    """To standard output and to a file; it names the suite and the case."""
    path = next((copied / "cases/stochastic/philox").rglob("out_r.npy"))
    wrong = np.load(path)
    wrong[9] ^= 1
    path.write_bytes(npy(wrong))
    arguments = ("vectors", "verify", tiny.root, "--actual", copied, "--report", "html")
    printed, written = refquant(*arguments), refquant(*arguments, "--output", tmp_path / "page.html")
    assert (printed.returncode, written.returncode, written.stdout, printed.stderr) == (1, 1, "", "")
    page = (tmp_path / "page.html").read_text()
    assert page == printed.stdout
    tree = parsed(page)
    assert path.parent.name in tree.text and f"Suite {tiny.root}: level 1, seed 0, groups stochastic, " in tree.text
    picture = section(tree, path.parent.name)
    assert cells_of(picture) == {(0, 9): 1.0}


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_in_a_browser(report, tmp_path):
    """The browser's tree is the page's: nothing was repaired."""
    (tmp_path / "page.html").write_text(FORMATS["html"](report))
    done = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
                           (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    ours, theirs = (Tree(re.sub(r"^<!doctype", "<!doctype", page, flags=re.I)).root for page in (FORMATS["html"](report), done.stdout))
    assert [node.name for node in theirs.all_nodes()] == [node.name for node in ours.all_nodes()]
    assert theirs.text.split() == ours.text.split()


def test_answers_at_hand_are_not_kept_when_right():
    case = built("stochastic.lfsr", "one")
    report = verify([case], Answered({"one": dict(case.expected)}), "right")
    assert report.results[0].failure is None
