"""Markup from Python: every piece of text is escaped unless it was made here."""

from __future__ import annotations

from html import escape

_VOID = frozenset({"meta", "img", "br"})


class Html(str):
    """Markup, as opposed to text that still has to be escaped."""

    __slots__ = ()


def el(name: str, /, *children: object, **attributes: object) -> Html:
    """An element.

    Args:
        name: its tag, of HTML or SVG.
        children: markup of this module as it is; anything else as escaped text; None is left out.
        attributes: values are escaped; ``cls`` is ``class``, an underscore in a name a hyphen; None and False are left out, True
            has no value.
    """
    head = name + "".join(_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    return Html(f"<{head}>" if name in _VOID else f"<{head}>{join(children)}</{name}>")


def join(children: object) -> Html:
    """Children one after the other: a string, or any iterable of them."""
    if isinstance(children, str):
        return children if isinstance(children, Html) else Html(escape(children))
    if hasattr(children, "__iter__"):
        return Html("".join(join(child) for child in children if child is not None))
    return Html(escape(str(children)))


def scrolling(table: Html, label: str) -> Html:
    """A wide table in a frame of its own, which the keyboard reaches."""
    return el("div", table, cls="scroll", tabindex="0", role="region", aria_label=label)


def _attribute(key: str, value: object) -> str:
    name = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
