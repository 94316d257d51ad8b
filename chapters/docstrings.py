"""The library's docstrings, as Sphinx reads them.

    One line that says what it computes.                  a paragraph; what it holds is text, not markup

    x : reals, any shape.  scale : one number.            items of a list
    Raises ValueError for NaN.                            a paragraph that begins with a word in bold
    Source: Banner 2018, eq. 1.

        y = scale * codes                                 indented, or in columns: as it stands
"""
from __future__ import annotations

import re
import sys

NAME = r"[*\w.]+(?:\[\w+\])?"
ITEM = re.compile(rf"^({NAME}(?:, {NAME})*) : (.*)")
SECOND = re.compile(rf"(?<=\S)  +(?={NAME}(?:, {NAME})* : )")
UNDERLINE = re.compile(r"^-{3,}$")
LEADING = re.compile(r"^(Raises|Source:|Returns|Notes)(?=\s)")
COLUMN = re.compile(r"[^.,;\s] {2,}\S")
LITERAL = re.compile(r"(``.+?``|`[^`]+`)")


def as_rest(app, what, name, obj, options, lines: list[str]) -> None:
    """Rewrite ``lines`` in place: the handler of autodoc-process-docstring."""
    lines[:] = converted(lines)


def readable(app, what, name, obj, options, signature: str | None, returned) -> tuple[str | None, str | None]:
    """Defaults by the names they have in the source: the handler of autodoc-process-signature."""
    if signature:
        signature = re.sub(r"<function (\w+)>", r"\1", signature)
        signature = re.sub(r"=Quantizers\([^()]*\)", "=Quantizers()", signature)  # its defaults stand above
    return signature, returned


def converted(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    out: list[str] = []
    for block in blocks(lines):
        if block[0].startswith("    "):
            session = any(line.lstrip().startswith(">>>") for line in block)
            out += [f".. code-block:: {'pycon' if session else 'text'}", "", *block, ""]
        elif len(block) > 1 and UNDERLINE.match(block[1]):
            out += [f"**{block[0]}**", "", *paragraph(named(block[2:]))]
        elif in_columns(block):
            out += [".. code-block:: text", "", *(f"    {line}" for line in block), ""]
        elif block[0].startswith(("* ", "- ")):
            out += [*(escaped(line) for line in block), ""]
        else:
            out += paragraph(block)
    return out


def blocks(lines: list[str]) -> list[list[str]]:
    """The lines in groups: what blank lines separate, and indented lines apart from the rest."""
    found: list[list[str]] = [[]]
    verbatim = False
    for i, line in enumerate(lines):
        if not line.strip():
            following = next((later for later in lines[i:] if later.strip()), "")
            if verbatim and following.startswith("    "):
                found[-1].append("")
                continue
            verbatim = False
            found.append([])
            continue
        if not found[-1]:
            verbatim = line.startswith("    ")
        found[-1].append(line)
    return [block for block in found if block]


def in_columns(block: list[str]) -> bool:
    """Whether lines are set in, or stand in columns: a table or formulas, no text."""
    return (len(block) > 1 and not any(ITEM.match(line) for line in block)
            and (any(line.startswith("  ") for line in block) or sum(bool(COLUMN.search(line)) for line in block) > 1))


def named(section: list[str]) -> list[str]:
    """A section's lines, where what is indented says something of the name above it."""
    following = [*section[1:], ""]
    return [f"{line} : " if line[:1].strip() and after.startswith(" ") and not ITEM.match(line) else line
            for line, after in zip(section, following, strict=True)]


def paragraph(block: list[str]) -> list[str]:
    """Text, or items, or both: an item begins a line, and goes on in lines that are indented."""
    out: list[str] = []
    text: list[str] = []

    def flush() -> None:
        if text:
            out.extend([LEADING.sub(r"**\1**", escaped(" ".join(text))), ""])
            text.clear()

    for line in (part for whole in block for part in SECOND.split(whole)):
        if item := ITEM.match(line):
            flush()
            out += [f"``{item[1]}``", f"    {escaped(item[2])}".rstrip(), ""]
        elif line.startswith("    ") and out and not text:
            out[-2:] = [f"{out[-2] or '   '} {escaped(line.strip())}", ""]
        else:
            if LEADING.match(line):
                flush()
            text.append(line.strip())
    flush()
    return out


def escaped(text: str) -> str:
    """Text in which only what stands in backquotes is markup."""
    parts = LITERAL.split(text)
    for i, part in enumerate(parts):
        if i % 2:
            before = "\\ " if parts[i - 1][-1:].strip() else ""
            after = "\\ " if parts[i + 1][:1].isalnum() else ""
            parts[i] = f"{before}``{part.strip('`')}``{after}"
        else:
            parts[i] = re.sub(r"([\\*|])|_(?=\W|$)", lambda found: "\\" + found[0], part)
    return "".join(parts)


def ops_as_functions(app) -> None:
    """Let autodoc see the function of each `Op`, which has the name, the arguments and the docstring."""
    import importlib
    import pkgutil

    import refquant
    from refquant.autodiff import Op

    for package in ("autodiff", "quantizers"):
        for found in pkgutil.walk_packages([f"{refquant.__path__[0]}/{package}"], f"refquant.{package}."):
            importlib.import_module(found.name)
    for module in [module for name, module in sys.modules.items() if name.startswith("refquant")]:
        for name, value in list(vars(module).items()):
            if isinstance(value, Op):
                setattr(module, name, value.forward)
