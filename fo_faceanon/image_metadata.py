"""What an image file still says about its origin, read from the container itself rather than through an image library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fo_faceanon.errors import InputError

_JPEG_SOI, _JPEG_EOI, _JPEG_SOS = 0xD8, 0xD9, 0xDA
#: Inside entropy-coded data, 0xFF is followed by a stuffed zero, a restart marker or a fill byte; anything else is a marker.
_JPEG_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks that say how to show the pixels and nothing else.
_PNG_ALLOWED = {
    *("IHDR", "PLTE", "IDAT", "IEND", "tRNS"),
    *("gAMA", "cHRM", "sRGB", "iCCP", "cICP", "mDCV", "cLLI", "sBIT", "bKGD", "hIST", "pHYs"),
}
_PNG_NAMES = {"eXIf": "exif", "tIME": "time", "acTL": "animation", "fcTL": "animation", "fdAT": "animation"}
_WEBP_ALLOWED = {"VP8 ", "VP8L", "VP8X", "ALPH", "ICCP"}
_WEBP_NAMES = {"EXIF": "exif", "XMP ": "xmp", "ANIM": "animation", "ANMF": "animation"}
_TEXT_KEYWORDS = (("xmp", "xmp"), ("exif", "exif"), ("iptc", "iptc"), ("8bim", "iptc"))


def metadata_residue(source: str | Path | bytes) -> list[str]:
    """What a JPEG, PNG or WebP file carries beyond pixels, ICC profile and JFIF header.

    Args:
        source: a path or the bytes of a file.

    Returns:
        Names in order of appearance, each once: ``exif``, ``thumbnail``, ``xmp``, ``iptc``, ``comment``, ``mpf``, ``text``,
        ``time``, ``animation``, ``app<n>``, ``chunk <name>``, ``trailing data``, ``truncated``; empty for a clean file. A
        container of another kind gives ``unknown container``: it cannot be vouched for.

    Raises:
        InputError: the file cannot be read.
    """
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {source} to check its metadata: {error.strerror or error}") from error
    if data[:2] == b"\xff\xd8":
        found = _jpeg_residue(data)
    elif data[:8] == _PNG_SIGNATURE:
        found = _png_residue(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = _webp_residue(data)
    else:
        return ["unknown container"]
    return list(dict.fromkeys(found))


def _jpeg_residue(data: bytes) -> Iterator[str]:
    position = 2
    while True:
        match = _JPEG_NEXT_MARKER.search(data, position)
        if match is None:
            yield "truncated"
            return
        marker = data[match.end() - 1]
        position = match.end()
        if marker == _JPEG_EOI:
            if position < len(data):
                yield "trailing data"
            return
        if marker == _JPEG_SOI or marker == 0x01:  # no length follows
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            yield "truncated"
            return
        yield from _jpeg_segment(marker, data[position + 2 : position + length])
        position += length


def _jpeg_segment(marker: int, body: bytes) -> Iterator[str]:
    if marker == 0xFE:
        yield "comment"
    elif marker == 0xE0 and body.startswith(b"JFIF\0"):
        if len(body) > 14 or body[12:14] not in (b"\0\0", b""):  # anything after the density is a thumbnail
            yield "thumbnail"
    elif marker == 0xE0 and body.startswith(b"JFXX\0"):
        yield "thumbnail"
    elif marker == 0xE1 and body.startswith(b"Exif\0"):
        yield "exif"
        if b"\xff\xd8\xff" in body:
            yield "thumbnail"
    elif marker == 0xE1 and body.startswith((b"http://ns.adobe.com/xap/", b"http://ns.adobe.com/xmp/")):
        yield "xmp"
    elif marker == 0xE2 and body.startswith(b"MPF\0"):
        yield "mpf"
    elif marker == 0xED:
        yield "iptc"
    elif 0xE0 <= marker <= 0xEF and not _jpeg_segment_allowed(marker, body):
        yield f"app{marker - 0xE0}"


def _jpeg_segment_allowed(marker: int, body: bytes) -> bool:
    """The ICC profile, and Adobe's colour transform flag, without which some decoders get the colours wrong."""
    return (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0")) or (marker == 0xEE and body.startswith(b"Adobe") and len(body) == 12)


def _png_residue(data: bytes) -> Iterator[str]:
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8].decode("latin-1")
        body = data[position + 8 : position + 8 + length]
        position += 12 + length
        if position > len(data):
            break
        if name in ("tEXt", "zTXt", "iTXt"):
            yield _png_text_kind(body)
        elif name not in _PNG_ALLOWED:
            yield _PNG_NAMES.get(name, f"chunk {name}")
        if name == "IEND":
            if length or position < len(data):
                yield "trailing data"
            return
    yield "truncated"


def _png_text_kind(body: bytes) -> str:
    """What a text chunk holds, by its keyword (``XML:com.adobe.xmp``, ``Raw profile type exif``, ...)."""
    keyword = body.split(b"\0", 1)[0].decode("latin-1").lower()
    return next((kind for part, kind in _TEXT_KEYWORDS if part in keyword), "text")


def _webp_residue(data: bytes) -> Iterator[str]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        yield "truncated"
        return
    position = 12
    while position + 8 <= end:
        name = data[position : position + 4].decode("latin-1")
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + (length & 1)  # chunks are padded to even length
        if position > end:
            yield "truncated"
            return
        if name not in _WEBP_ALLOWED:
            yield _WEBP_NAMES.get(name, f"chunk {name}")
    if position < len(data):
        yield "trailing data"
