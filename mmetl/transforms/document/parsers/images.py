"""Images: what their files say of them, and with OCR the words in them."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from typing import Any

from mmetl.engines.packages import require
from mmetl.transforms.document.parsed import Limits, Parsed, Unreadable, join_pages
from mmetl.transforms.document.parsers.ocr import words_of

FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "WEBP")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
"""What Pillow raises for files that are not as they should be."""

_EXIF_IFD = 0x8769
_WIDTH, _HEIGHT = 0x0100, 0x0101
_TAGS = {
    "description": 0x010E,
    "make": 0x010F,
    "model": 0x0110,
    "orientation": 0x0112,
    "modified": 0x0132,
    "author": 0x013B,
    "copyright": 0x8298,
}
_EXIF_TAGS = {"created": 0x9003, "offset": 0x9011}


def parse_image(data: bytes, limits: Limits) -> Parsed:
    """Parse an image: format, size and EXIF as metadata; its text is what OCR reads, where that is wanted."""
    require("documents", "PIL")
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that Pillow does not know
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _refuse_large(image, limits)
                metadata = _said(image)  # before Pillow turns it as its orientation says
                image.load()
                texts = list(_texts(image, limits)) if limits.ocr else []
    except _DAMAGED:
        raise Unreadable("the image is damaged or cut off") from None
    text, pages = join_pages(texts) if len(texts) > 1 else ("".join(texts), ())
    return Parsed(text, metadata.pop("description", None), None, metadata, pages)


def _refuse_large(image: Any, limits: Limits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise Unreadable(f"it has {width} x {height} pixels, more than {limits.max_pixels / 1e6:g} million")


def _texts(image: Any, limits: Limits) -> Iterator[str]:
    """Yield the words of each page: a TIFF file may have many."""
    from PIL import ImageOps

    count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if count > limits.max_pages:
        raise Unreadable(f"it has {count} pages, more than {limits.max_pages}")
    for number in range(count):
        if number:
            image.seek(number)
            _refuse_large(image, limits)
        yield words_of(ImageOps.exif_transpose(image).convert("L"), limits.ocr)


def _said(image: Any) -> dict[str, str]:
    """Return what an image says of itself; the camera is one name, times are as ISO 8601 has them."""
    exif = image.getexif()
    inner = exif.get_ifd(_EXIF_IFD)
    raw = {name: exif.get(tag) for name, tag in _TAGS.items()} | {n: inner.get(tag) for n, tag in _EXIF_TAGS.items()}
    found = {name: _plain(value) for name, value in raw.items() if _plain(value)}
    make, model = found.pop("make", ""), found.pop("model", "")
    found["camera"] = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    zone = found.pop("offset", "")
    for name, suffix in (("created", zone), ("modified", "")):
        if name in found:
            found[name] = _time(found[name]) + suffix
    frames = getattr(image, "n_frames", 1)
    stored = getattr(image, "tag_v2", {})  # of a TIFF file: Pillow has turned it already
    width, height = stored.get(_WIDTH, image.width), stored.get(_HEIGHT, image.height)
    sizes = {"format": image.format, "width": str(width), "height": str(height), "mode": image.mode}
    return {**sizes, **({"frames": str(frames)} if frames > 1 else {}), **{k: v for k, v in found.items() if v}}


def _plain(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    return "".join(char for char in text if char.isprintable()).strip()


def _time(text: str) -> str:
    """Return a time of EXIF as others write it.

    >>> _time("2024:02:03 04:05:06"), _time("long ago")
    ('2024-02-03T04:05:06', 'long ago')
    """
    day, _, hour = text.partition(" ")
    return f"{day.replace(':', '-')}T{hour}" if hour and day.count(":") == 2 else text
