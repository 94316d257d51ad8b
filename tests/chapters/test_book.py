"""The book: every page runs and says what its code says; every figure is the one its code draws."""
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).parents[2] / "chapters"
NEEDS = {"08-verify-hardware": "iverilog", "09-verify-kernels": "cc"}


@pytest.fixture(scope="module")
def book():
    """chapters/book.py as a module."""
    specification = importlib.util.spec_from_file_location("book", CHAPTERS / "book.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules["book"] = module  # dataclasses look there
    specification.loader.exec_module(module)
    return module


PAGES = sorted(path.stem for path in CHAPTERS.glob("*.md") if "```python" in path.read_text())


def test_the_pages_are_these(book):
    numbered = [f"{i:02}" for i in range(11)]
    assert [name[:2] for name in PAGES] == [*numbered, "cl"]
    assert book.names() == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_its_code_says(name):
    """Its sources, outputs, tables, and the bytes of its figures (by the matplotlib that drew those kept here)."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    if name in NEEDS and shutil.which(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    text = (CHAPTERS / f"{name}.md").read_text()
    code = "".join(re.findall(r"^```(?:python|sh)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))
    drawn = set(re.findall(r"figures/[\w.-]+\.svg", code))
    assert drawn == set(re.findall(r"!\[.{20,}?\]\((figures.*?)\)", text, re.DOTALL)), "a figure not shown, or not described"
    before = {figure: (CHAPTERS / figure).read_bytes() for figure in drawn}

    done = subprocess.run([sys.executable, CHAPTERS / "book.py", name], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr

    for figure, kept in before.items():
        now = (CHAPTERS / figure).read_bytes()
        if now != kept and drawn_by(now) != drawn_by(kept):
            (CHAPTERS / figure).write_bytes(kept)
        else:
            assert now == kept, f"{figure} has changed: look at it, and keep it if it is right"


def drawn_by(svg: bytes) -> bytes:
    return re.search(rb"Matplotlib v[\d.]+", svg)[0]


def test_every_figure_belongs_to_a_page():
    shown = {name for page in PAGES for name in re.findall(r"figures/([\w.-]+\.svg)", (CHAPTERS / f"{page}.md").read_text())}
    assert {path.name for path in (CHAPTERS / "figures").iterdir()} == shown


def prose(page: Path) -> str:
    """The page without its fences."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_every_link_leads_somewhere():
    for page in [*CHAPTERS.glob("*.md"), *CHAPTERS.glob("*/*.md"), CHAPTERS.parent / "README.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose(page)):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_math_is_what_github_takes():
    """Inline math with a brace or an underscore stands in $`...`$; no command or role that GitHub prints as it stands."""
    for page in CHAPTERS.glob("*.md"):
        inline = re.sub(r"\$`.*?`\$", "", prose(page), flags=re.DOTALL)
        assert "\\operatorname" not in page.read_text() and not re.search(r"\{[a-z:]+\}`", inline), page.name
        inline = re.sub(r"`[^`\n]*`", "", inline)
        bare = re.findall(r"(?<![\w$\\])\$([^\s$][^$\n]*?)\$(?!\w)", inline)
        assert [math for math in bare if re.search(r"[{}_]|\\[^A-Za-z]", math)] == [], page.name


@pytest.fixture
def page(book, tmp_path, monkeypatch):
    """(text) -> the page as it was run, and its text as it is now."""
    def page(text):
        path = tmp_path / "page.md"
        path.write_text(text)
        (tmp_path / "scratch").mkdir(exist_ok=True)
        made = book.Page(path, tmp_path / "scratch")
        return made, made.run()
    return page


def test_what_is_printed_is_compared(page):
    made, now = page("```python\nprint(6 * 7)\n```\n\nso\n\n```text\n41\n```\n")
    assert len(made.differences) == 1 and "line 7" in made.differences[0] and "42" in made.differences[0]
    assert now.endswith("```text\n42\n```\n")
    assert page(now)[0].differences == []


def test_three_dots_stand_for_lines(book):
    assert book.matches("a\n...\nb\n", "a\nb\n") and book.matches("a\n...\nb\n", "a\n1\n2\nb\n")
    assert not book.matches("a\n...\nb\n", "a\n1\nc\n") and not book.matches("a\n", "a\nb\n")
    assert book.matches("...\nb\n", "x\nb\n") and not book.matches("a.c\n", "abc\n")


def test_a_table_is_compared(page):
    made, now = page('```python\nprint("| a |\\n| --- |\\n| 1 |")\n```\n\n| a |\n| --- |\n| 2 |\n\nafter\n')
    assert len(made.differences) == 1
    assert now.endswith("```\n\n| a |\n| --- |\n| 1 |\n\nafter\n")
    assert page(now)[0].differences == []
    quoted = "\n```python source=refquant.quantizers.sat.q_k_backward\n```\n"
    assert page(now + quoted)[1].count("\n| 1 |\n") == 1  # not again behind what prints nothing
    made, now = page('```python\nprint("| a |\\n| --- |")\n```\n\nno table\n')
    assert len(made.differences) == 1 and now.endswith("```\n\n| a |\n| --- |\n\nno table\n")


def test_a_source_is_compared(page):
    made, now = page("```python source=refquant.quantizers.sat.q_k_backward\nold\n```\n")
    assert len(made.differences) == 1 and "@q_k.def_backward\ndef q_k_backward(" in now


def test_files_and_commands(page):
    made, _ = page("```c file=sub/k.c\nint x;\n```\n\n```sh\ncat sub/k.c; ls $REFQUANT/chapters/book.py >&2 | wc -l\n"
                     'python -c "import refquant"; (exit 3); echo $?\n```\n\n```text\nint x;\n...\n3\n```\n')
    assert made.differences == [] and "book.py" in made.printed


def test_code_that_fails_names_its_line(page):
    with pytest.raises(ZeroDivisionError) as stop:
        page("text\n\n```python\n1 / 0\n```\n")
    assert stop.traceback[-1].lineno + 1 == 4  # of the page


@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed")
@pytest.mark.parametrize("broken, said", [("s/a/a/", "2 passed"), ("s/half_away(half_up(product, 31)/half_up(half_up(product, 31)/", "2 failed")])
def test_the_kernel_page_in_pytest(tmp_path, broken, said):
    """What takes the page too long to run: its test file, with the right kernel and with the one that breaks ties up."""
    text = (CHAPTERS / "09-verify-kernels.md").read_text()
    for name, body in re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(body)
    assert "$ pytest -q test_kernel.py\n" in text and (broken == "s/a/a/" or f"sed '{broken}' gemm.c" in text)
    subprocess.run(f"sed -i '{broken}' gemm.c && cc -O2 -shared -fPIC -o gemm.so gemm.c", shell=True, cwd=tmp_path, check=True)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_kernel.py"], cwd=tmp_path, capture_output=True, text=True)
    assert said in done.stdout, done.stdout


def test_wrong_names():
    done = subprocess.run([sys.executable, CHAPTERS / "book.py", "03-bannner"], capture_output=True, text=True)
    assert done.returncode == 2 and "'03-bannner': expected one of 00-integers" in done.stderr


def test_the_readme_says_what_its_code_says(book, page):
    """Its Python, and what it prints; what a shell runs there makes environments and suites."""
    fences = list(book.FENCE.finditer((CHAPTERS.parent / "README.md").read_text()))
    kept = [fence[0] for before, fence in zip([None, *fences], fences, strict=False)
            if fence[1] == "python" or (fence[1] == "text" and before and before[1] == "python")]
    assert len(kept) > 4 and "```text" in kept[1]
    assert page("\n".join(kept))[0].differences == []
