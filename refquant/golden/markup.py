"""HTML and SVG that is right by construction: whatever is not `Markup` is text, and is escaped."""
from __future__ import annotations

from collections.abc import Iterable
from html import escape

from refquant.golden.wording import printable

VOID = ("meta",)  # elements that have no end tag


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: object) -> Markup:
    """``<name ...>content</name>``; of an attribute's name a final _ is dropped, another becomes a hyphen.

    content : Markup as it is, anything else as text.  attributes : True stands alone, None is left out.
    """
    given = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
                    if value is not None)
    inside = join(content)
    return Markup(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{inside}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """``parts`` one after another, texts escaped, with the text ``between`` them."""
    return Markup(_text(between).join(map(_text, parts)))


def _text(part: object) -> str:
    return part if isinstance(part, Markup) else escape("\n".join(map(printable, str(part).split("\n"))))


def _attribute(name: str, value: object) -> str:
    return f" {name}" if value is True else f' {name}="{escape(printable(str(value)))}"'
