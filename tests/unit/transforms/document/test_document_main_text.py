"""`document.parse` with `main_text`: what is around the main part of a web page is left out."""

from __future__ import annotations

import json

import pytest

from mmetl.transforms.document.parsers.html import markdown_of

AROUND = "<header><h1>Site</h1><p>Log in</p></header><nav>Home</nav>{}<aside>Read more</aside><footer>Imprint</footer>"
PAGE = f"<html><head><title>A page</title></head><body>{AROUND}</body></html>"


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<div>Cookies</div><main><h2>One</h2><p>Text.</p><aside>Adverts</aside></main>", "## One\n\nText."),
        ('<div role="main"><p>Text.</p><div role="search">Find</div></div><p>After</p>', "Text."),
        ("<p>Before</p><article><header>By Ann</header><p>Text.</p></article>", "By Ann\n\nText."),
        ("<article><p>One.</p></article><article><p>Two.</p></article>", "One.\n\nTwo."),
        ('<p>Text.</p><div aria-hidden="true">Hidden</div><p hidden>Too</p>', "Text."),
        ("<main><aside>One<aside>Two</aside></aside><p>Text.</p></main>", "Text."),
        ("<aside><main><p>Text.</p></main></aside>", "Text."),
    ],
)
def test_only_the_main_part_is_read(inner, expected):
    page = markdown_of(PAGE.format(inner), main_text=True)
    assert (page.text, page.title) == (expected, "A page")
    assert "Site" in markdown_of(PAGE.format(inner)).text


@pytest.mark.parametrize("html", ["", "<main></main>", "<body><aside>x</aside></body>"])
def test_pages_without_a_main_text(html):
    assert markdown_of(html, main_text=True).text == ""


def test_it_is_a_param(empty):
    empty.write("web/a.html", PAGE.format("<main><p>Text.</p></main>"))
    empty.tasks(
        "  files: {transform: document.files, params: {path: web/}}\n"
        "  texts: {transform: document.parse, inputs: [files], params: {main_text: true}}\n"
    )
    assert empty.fast("run").code == 0
    assert json.loads(empty.fast("show", "texts", "--json").out)["text"] == "Text."
