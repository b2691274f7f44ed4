"""DOCX: list items that are such by their style alone, which the parser does not see."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any, NamedTuple

from mmetl.transforms.document.parsers.notes import xml_tree

_DOCUMENT, _STYLES = "word/document.xml", "word/styles.xml"
_PARAGRAPH = re.compile(rb"(<w:pPr\s*>)(.*?)(?=</w:pPr>|<w:rPr[\s/>])", re.DOTALL)
"""The properties of a paragraph, as far as they may name a style and a list. Their order is fixed."""
_CHANGED = re.compile(rb"<w:pPrChange\s.*?</w:pPrChange>", re.DOTALL)
"""What they were before a change that is tracked, which the parser takes for what they are."""
_STYLE = re.compile(rb"""<w:pStyle\s+w:val=["']([^"']*)["']\s*(?:/>|>\s*</w:pStyle>)""")
_LIST = re.compile(rb"<w:numPr>.*?</w:numPr>|<w:numPr\s*/>", re.DOTALL)
_NO_LIST = re.compile(rb"""<w:numId\s+w:val=["']0["']""")


class _Style(NamedTuple):
    """What a style of paragraphs says itself. `number`: of the list; empty: nothing; `0`: none."""

    base: str
    number: str
    level: str
    heading: bool


def with_lists(data: bytes, archive: zipfile.ZipFile) -> bytes:
    """Return a DOCX file in which every item of a list says so itself.

    Word keeps that in the style (`List Bullet`) where somebody has chosen one; what is made here is what it writes where somebody
    has pressed the button. A paragraph that is taken out of its style's list says so by a list with the number 0.

    Args:
        data: the file.
        archive: the same, opened; its members are sound.
    """
    names = frozenset(archive.namelist())
    if not {_DOCUMENT, _STYLES} <= names:
        return data
    lists = _lists(_styles(xml_tree(archive.read(_STYLES))))
    before = archive.read(_DOCUMENT)
    after = _PARAGRAPH.sub(lambda found: found[1] + _said(found[2], lists), _CHANGED.sub(b"", before))
    if after == before:
        return data
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for member in archive.infolist():
            content = after if member.filename == _DOCUMENT else archive.read(member)
            written.writestr(member, content, compresslevel=1)
    return file.getvalue()


def _said(properties: bytes, lists: dict[str, bytes]) -> bytes:
    """Return a paragraph's properties, with the list that its style puts it into if it says nothing itself."""
    own = _LIST.search(properties)
    if own:
        return properties.replace(own[0], b"") if _NO_LIST.search(own[0]) else properties
    style = _STYLE.search(properties)
    return properties + lists.get(style[1].decode("utf-8", "replace"), b"") if style else properties


def _styles(tree: Any) -> dict[str, _Style]:
    found = {}
    for style in tree.css('w\\:style[w\\:type="paragraph"]'):
        number = _value(style, "w\\:numpr > w\\:numid")
        level = _value(style, "w\\:numpr > w\\:ilvl")
        heading = style.css_first("w\\:outlinelvl") is not None or _value(style, "w\\:name").lower().startswith(
            "heading"
        )
        found[style.attributes.get("w:styleid") or ""] = _Style(_value(style, "w\\:basedon"), number, level, heading)
    return found


def _value(style: Any, selector: str) -> str:
    node = style.css_first(selector)
    return (node.attributes.get("w:val") or "") if node else ""


def _lists(styles: dict[str, _Style]) -> dict[str, bytes]:
    """Return, by style, the list that it puts paragraphs into. A numbered heading stays one."""
    found = {}
    for name in styles:
        chain = _chain(name, styles)
        number = next((style.number for style in chain if style.number), "")
        level = next((style.level for style in chain if style.level), "0")
        if number.isdigit() and level.isdigit() and number != "0" and not any(style.heading for style in chain):
            found[name] = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'.encode()
    return found


def _chain(name: str, styles: dict[str, _Style]) -> list[_Style]:
    """Return a style and those that it is based on, the nearest first."""
    chain: dict[str, _Style] = {}
    while name in styles and name not in chain:
        chain[name] = styles[name]
        name = styles[name].base
    return list(chain.values())
