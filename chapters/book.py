"""Run a chapter: its code, its commands, and hold what they print against what the page says.

    python chapters/book.py [NAME...] [--write]        03-banner, say; every chapter when none is named

A chapter is plain Markdown. What a fence holds decides what is done with it:

    ```python                  run, all of a page in one namespace and in the directory chapters/
    ```python source=a.b.c     is the source of refquant's a.b.c
    ```LANGUAGE file=NAME      is written to NAME in the page's scratch directory, which begins empty
    ```sh                      run there by bash; $REFQUANT is the clone, and its interpreter is the first on PATH
    ```text                    is what the python or sh fence before it printed; a line `...` stands for any lines
    | a table                  right behind a python fence that prints one, is what it printed

Anything else is not run: a ```console fence shows a command that takes long. --write puts the sources, outputs and
tables into the page as they are now. Exit code 1 if a page says something else than its code.
"""
from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from refquant.atomic import write

CHAPTERS = Path(__file__).parent
FENCE = re.compile(r"^```(\w+)[ ]?(.*)\n((?:.*\n)*?)^```\n", re.MULTILINE)
TABLE = re.compile(r"\n*((?:\|.*\n)+)")
SETTING = {"MPLBACKEND": "agg", "SOURCE_DATE_EPOCH": "0"}


def names() -> list[str]:
    """The pages that have code to run."""
    return sorted(path.stem for path in CHAPTERS.glob("*.md") if "```python" in path.read_text())


@dataclass
class Page:
    """A page as it is run: what it says, what its code says, where they differ."""

    path: Path
    scratch: Path
    namespace: dict = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str = ""
    differences: list[str] = field(default_factory=list)

    def run(self) -> str:
        """The page's text with every source, output and table as it is now."""
        text, done, parts = self.path.read_text(), 0, []
        while (fence := FENCE.search(text, done)) is not None:
            language, info, body = fence.groups()
            line = text.count("\n", 0, fence.start()) + 1
            now = self.fence(language, info, body, line)
            parts += [text[done:fence.start(3)], now, "```\n"]
            self.compare(line, body, now)
            done = fence.end()
            if language == "python" and not info and self.printed.startswith("|"):
                done = self.table(text, done, parts)
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close("all")
        return "".join([*parts, text[done:]])

    def fence(self, language: str, info: str, body: str, line: int) -> str:
        """What the fence should hold; its code is run."""
        if info.startswith("file="):
            target = self.scratch / info.removeprefix("file=")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(body)
        elif info.startswith("source="):
            return inspect.getsource(pkgutil.resolve_name(info.removeprefix("source=")))
        elif language == "python" and not info:
            self.printed = ""
            code = compile("\n" * line + body, str(self.path), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, self.namespace)
            self.printed = out.getvalue()
        elif language == "sh":
            self.printed = self.shell(body)
        elif language == "text":
            return body if matches(body, self.printed) else self.printed
        return body

    def shell(self, commands: str) -> str:
        """What bash prints, both streams."""
        there = {"REFQUANT": str(CHAPTERS.parent), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", commands], cwd=self.scratch, env=os.environ | there, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout

    def table(self, text: str, at: int, parts: list[str]) -> int:
        """Take the table behind position ``at``, which the code printed; where it ends."""
        found = TABLE.match(text, at)
        parts += ["\n", self.printed]
        self.compare(text.count("\n", 0, at) + 1, found[1] if found else "", self.printed)
        return found.end() if found else at

    def compare(self, line: int, said: str, now: str) -> None:
        if said != now:
            self.differences.append(f"{self.path.name}, line {line}: the page says\n{said}and the code\n{now}")


def matches(said: str, printed: str) -> bool:
    """Whether ``said`` is what was ``printed``; a line of three dots stands for any lines, none too."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", said, flags=re.MULTILINE)]
    return re.fullmatch("(?:.*\n)*".join(parts), printed) is not None


def main() -> int:
    parser = argparse.ArgumentParser(description="Run chapters, and hold what they print against what they say.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all, unless named")
    parser.add_argument("--write", action="store_true", help="put what is printed now into the page")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(names()))
    if unknown:
        parser.error(f"NAME {unknown[0]!r}: expected one of {', '.join(names())}")
    os.environ |= SETTING
    os.chdir(CHAPTERS)
    wrong = False
    for name in options.names or names():
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as scratch:
            page = Page(CHAPTERS / f"{name}.md", Path(scratch))
            now = page.run()
        if options.write:
            write(page.path, now.encode())
        elif page.differences:
            wrong = True
            print(*page.differences, sep="\n")
        print(f"{name}: {len(page.differences)} differences, {time.perf_counter() - start:.1f} s")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
