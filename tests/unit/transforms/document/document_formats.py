"""Small documents of each format, made here."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SLIDES = "http://schemas.openxmlformats.org/presentationml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
KIND = "application/vnd.openxmlformats-officedocument."

HTML = """\
<!doctype html><html lang="en"><head><title>The  page</title><meta name="author" content="Ann"><style>p {}</style></head>
<body><nav><a href="/">Home</a></nav><h1>Title</h1><p>Some <b>bold</b> words
and a <a href="x">link</a>.</p><h2>Below</h2><ul><li>one</li><li>two</li></ul>
<table><tr><th>name</th><th>size</th></tr><tr><td>a|b</td><td><p>1</p></td></tr></table>
<pre>def f():
    return  1</pre><script>let x = "<p>no</p>"</script></body></html>
"""


def zipped(members: dict[str, str | bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _package(main: str, kind: str, members: dict[str, str], kinds: dict[str, str] | None = None) -> bytes:
    overrides = {main: f"{KIND}{kind}.main+xml", **{n: KIND + k for n, k in (kinds or {}).items()}}
    types = "".join(f'<Override PartName="/{n}" ContentType="{k}"/>' for n, k in overrides.items())
    return zipped(
        {
            "[Content_Types].xml": f'<?xml version="1.0"?><Types xmlns="{PACKAGE}/content-types"><Default Extension="rels"'
            f' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Default Extension="xml" ContentType="application/xml"/>{types}</Types>',
            "_rels/.rels": _relations({"rId1": ("officeDocument", main)}),
            **members,
        }
    )


def _relations(of: dict[str, tuple[str, str]]) -> str:
    inner = "".join(f'<Relationship Id="{i}" Type="{OFFICE}/{k}" Target="{t}"/>' for i, (k, t) in of.items())
    return f'<?xml version="1.0"?><Relationships xmlns="{PACKAGE}/relationships">{inner}</Relationships>'


def docx(words: str = "Some words.") -> bytes:
    def paragraph(text: str, style: str = "") -> str:
        styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{styled}<w:r><w:t>{text}</w:t></w:r></w:p>"

    def row(*cells: str) -> str:
        return "<w:tr>" + "".join(f"<w:tc>{paragraph(c)}</w:tc>" for c in cells) + "</w:tr>"

    body = paragraph("Report", "Heading1") + paragraph(words) + paragraph("Part", "Heading2")
    body += f"<w:tbl>{row('name', 'size')}{row('a', '1')}</w:tbl>"
    return word(body)


def word(body: str, styles: str = "", numbering: str = "") -> bytes:
    """A DOCX file, with styles and numberings where they are given."""
    said = {"document": f"<w:body>{body}</w:body>", "styles": styles, "numbering": numbering}
    xml = '<?xml version="1.0"?><w:{0} xmlns:w="{1}">{2}</w:{0}>'
    members = {f"word/{n}.xml": xml.format(n, WORDS, inner) for n, inner in said.items() if inner}
    related = {n: (n, f"{n}.xml") for n in ("styles", "numbering") if said[n]}
    members["word/_rels/document.xml.rels"] = _relations(related)
    kinds = {f"word/{n}.xml": f"wordprocessingml.{n}+xml" for n in related}
    return _package("word/document.xml", "wordprocessingml.document", members, kinds)


def pptx(
    slides: tuple[tuple[str, ...], ...] = (("First", "Hello there"), ("Second", "Good bye")),
    notes: tuple[int, str] = (0, ""),
) -> bytes:
    """Return slides of a title and a text, or of nothing; `notes`: which of them has which."""

    def shape(number: int, kind: str, words: str) -> str:
        return (
            f'<p:sp><p:nvSpPr><p:cNvPr id="{number}" name="{kind}"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/></p:nvPr>'
            f"</p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody></p:sp>"
        )

    def page(root: str, shapes: str) -> str:
        return (
            f'<?xml version="1.0"?><p:{root} xmlns:p="{SLIDES}" xmlns:a="{DRAWING}"><p:cSld><p:spTree><p:nvGrpSpPr>'
            '<p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
            f"{shapes}</p:spTree></p:cSld></p:{root}>"
        )

    numbers = range(1, len(slides) + 1)
    listed = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in numbers)
    members = {
        "ppt/presentation.xml": f'<?xml version="1.0"?><p:presentation xmlns:p="{SLIDES}" xmlns:r="{OFFICE}"><p:sldIdLst>'
        f"{listed}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relations({f"rId{n}": ("slide", f"slides/slide{n}.xml") for n in numbers}),
    }
    for number, words in enumerate(slides, 1):
        kinds = zip(("title", "body"), words, strict=False)
        members[f"ppt/slides/slide{number}.xml"] = page("sld", "".join(shape(2, k, w) for k, w in kinds))
    kinds = dict.fromkeys((name for name in members if "slides/slide" in name), "presentationml.slide+xml")
    if notes[0]:
        noted = {"rId1": ("notesSlide", "../notesSlides/notesSlide1.xml")}
        members[f"ppt/slides/_rels/slide{notes[0]}.xml.rels"] = _relations(noted)
        members["ppt/notesSlides/notesSlide1.xml"] = page("notes", shape(2, "sldNum", "7") + shape(3, "body", notes[1]))
    return _package("ppt/presentation.xml", "presentationml.presentation", members, kinds)


def xlsx() -> bytes:
    def cell(place: str, value: str | int) -> str:
        if isinstance(value, int):
            return f'<c r="{place}"><v>{value}</v></c>'
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'

    sheet = (
        f'<?xml version="1.0"?><worksheet xmlns="{SHEETS}"><sheetData><row r="1">{cell("A1", "name")}{cell("B1", "size")}'
        f'</row><row r="2">{cell("A2", "a")}{cell("B2", 1)}</row></sheetData></worksheet>'
    )
    workbook = (
        f'<?xml version="1.0"?><workbook xmlns="{SHEETS}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="Sizes" sheetId="1" r:id="rId1"/></sheets></workbook>'
    )
    members = {
        "xl/workbook.xml": workbook,
        "xl/_rels/workbook.xml.rels": _relations({"rId1": ("worksheet", "worksheets/sheet1.xml")}),
        "xl/worksheets/sheet1.xml": sheet,
    }
    return _package(
        "xl/workbook.xml", "spreadsheetml.sheet", members, {"xl/worksheets/sheet1.xml": "spreadsheetml.worksheet+xml"}
    )


def epub() -> bytes:
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<?xml version="1.0"?><container><rootfiles><rootfile full-path="OPS/book.opf"'
            ' media-type="application/oebps-package+xml"/></rootfiles></container>',
            "OPS/book.opf": '<?xml version="1.0"?><package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
            "<dc:title>The book</dc:title><dc:creator>Ann</dc:creator><dc:language>en</dc:language></metadata><manifest>"
            '<item id="b" href="two%20.xhtml"/><item id="a" href="one.xhtml"/></manifest><spine><itemref idref="a"/>'
            '<itemref idref="b"/></spine></package>',
            "OPS/one.xhtml": "<html><body><h1>One</h1><p>First words.</p></body></html>",
            "OPS/two .xhtml": "<html><body><h1>Two</h1><p>Last words.</p></body></html>",
        }
    )


def mail() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ann@example.org", "bob@example.org", "Käse and more"
    message["Date"], message["Message-ID"] = "Tue, 24 Nov 2026 10:00:00 +0000", "<1@example.org>"
    message.set_content("Dear Bob,\n\nplain words.\n")
    message.add_alternative("<p>rich words</p>", subtype="html")
    message.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="data.bin")
    return bytes(message)


def mailbox() -> bytes:
    return (
        b"From ann@example.org Tue Nov 24 10:00:00 2026\n" + mail().replace(b"\r\n", b"\n").rstrip() + b"\n\n"
        b"From bob@example.org Tue Nov 24 11:00:00 2026\nFrom: bob@example.org\nTo: ann@example.org\n\n"
        b"Dear Ann,\n\n>From here to 10:30 there.\n\nFrom now on: yours\n"
    )


def pdf(*pages: str, title: str = "A paper", outline: tuple[tuple[str, int, int], ...] = ()) -> bytes:
    """Return a PDF file with some lines of text on each page. `outline`: (title, page, number of the entry above it)."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 720 Td {' 0 -20 Td '.join(f'({line}) Tj' for line in text.splitlines() or [''])} ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
            f" /Contents {5 + 2 * n} 0 R >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    if outline:
        root = len(objects) + 1
        objects[0] = f"<< /Type /Catalog /Pages 2 0 R /Outlines {root} 0 R >>"
        objects += [_entry(number, outline, root) for number in range(len(outline) + 1)]
    objects.append(f"<< /Title ({title}) /Author (Ann) >>")
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj\n{body}\nendobj\n".encode()
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
    end = (
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{len(made)}\n%%EOF\n"
    )
    return made + table.encode() + end.encode()


def _entry(number: int, outline: tuple[tuple[str, int, int], ...], root: int) -> str:
    """Return an entry of an outline; number 0 is its root."""
    below = [n for n, (_, _, above) in enumerate(outline, 1) if above == number]
    family = f"/First {root + below[0]} 0 R /Last {root + below[-1]} 0 R /Count {len(below)}" if below else ""
    if not number:
        return f"<< /Type /Outlines {family} >>"
    title, page, above = outline[number - 1]
    later = [n for n, (_, _, a) in enumerate(outline, 1) if a == above and n > number]
    following = f"/Next {root + later[0]} 0 R" if later else ""
    return f"<< /Title ({title}) /Parent {root + above} 0 R /Dest [{4 + 2 * page} 0 R /Fit] {following} {family} >>"
