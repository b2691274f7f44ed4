"""DOCX: an item of a list is one, whether its paragraph says so or the style of that."""

from __future__ import annotations

import document_formats as formats
import pytest

from mmetl.transforms.document.media import DOCX
from mmetl.transforms.document.parsed import Limits
from mmetl.transforms.document.reading import parse


def style(name: str, base: str, properties: str, title: str = "") -> str:
    return (
        f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{title or name}"/><w:basedOn w:val="{base}"/>'
        f"<w:pPr>{properties}</w:pPr></w:style>"
    )


def listed(number: int, level: int | None = 0) -> str:
    told = "" if level is None else f'<w:ilvl w:val="{level}"/>'
    return f'<w:numPr>{told}<w:numId w:val="{number}"/></w:numPr>'


def numbering(number: int, kind: str, text: str) -> str:
    levels = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for n in (0, 1)
    )
    return f'<w:abstractNum w:abstractNumId="{number}">{levels}</w:abstractNum>'


STYLES = "".join(
    [
        style("ListBullet", "Normal", listed(1, None), "List Bullet"),
        style("ListBullet2", "ListBullet", listed(1, 1)),
        style("Mine", "ListBullet", ""),
        style("Plain", "Mine", listed(0)),
        style("ListNumber", "Normal", listed(2)),
        style("Heading1", "Normal", f'{listed(2)}<w:outlineLvl w:val="0"/>', "heading 1"),
        style("Loop", "Pool", ""),
        style("Pool", "Loop", ""),
    ]
)
NUMBERING = (
    numbering(0, "bullet", "*")
    + numbering(1, "decimal", "%1.")
    + "".join(f'<w:num w:numId="{n}"><w:abstractNumId w:val="{n - 1}"/></w:num>' for n in (1, 2))
)


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p>{properties and f'<w:pPr>{properties}</w:pPr>'}<w:r><w:t>{text}</w:t></w:r></w:p>"


def styled(text: str, name: str, more: str = "") -> str:
    return paragraph(text, f'<w:pStyle w:val="{name}"/>{more}')


CHANGED = '<w:rPr><w:b/></w:rPr><w:pPrChange w:id="1" w:author="x"><w:pPr><w:pStyle w:val="ListBullet"/></w:pPr></w:pPrChange>'
CASES = {
    "by style": (styled("a", "ListBullet") + styled("b", "ListBullet"), "- a\n- b"),
    "by the paragraph": (paragraph("a", listed(1)) + paragraph("b", listed(1)), "- a\n- b"),
    "by both": (styled("a", "ListBullet", listed(2)), "1. a"),
    "by the style below": (styled("a", "Mine") + styled("b", "ListBullet2"), "- a\n- b"),
    "numbers": (styled("a", "ListNumber") + styled("b", "ListNumber"), "1. a\n2. b"),
    "taken out by the paragraph": (styled("a", "ListBullet", listed(0)), "a"),
    "taken out by the style": (styled("a", "Plain"), "a"),
    "a numbered heading": (styled("a", "Heading1") + styled("b", "Normal"), "# a\n\nb"),
    "a style that was there before": (styled("a", "Normal", CHANGED), "a"),
    "a list that it was in before": (
        paragraph("a", f'<w:pPrChange w:id="1"><w:pPr>{listed(1)}</w:pPr></w:pPrChange>'),
        "a",
    ),
    "unknown and circular styles": (styled("a", "None") + styled("b", "Loop"), "a\n\nb"),
    "no properties": ("<w:p><w:pPr/><w:r><w:t>a</w:t></w:r></w:p>" + styled("b", "ListBullet"), "a\n\n- b"),
}


@pytest.mark.parametrize(("body", "text"), CASES.values(), ids=CASES)
def test_items_of_lists(body: str, text: str) -> None:
    assert parse(formats.word(body, STYLES, NUMBERING), DOCX, Limits()).text == text
