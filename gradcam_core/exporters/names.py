"""File names that every system takes, and references that tell nothing about a person."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from gradcam_core.records import Heatmap

Names = Literal["keep", "hash"]

# Windows gives these to devices, whatever the ending.
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
LONGEST = 150
FOLDERLESS = re.compile(r"(bundled|torchvision):|timm:(?!local-dir:)|memory\b")
PLACES = ("timm:local-dir:", "file:")


def file_name(path: str) -> str:
    """The last part of a path of any system, as valid text."""
    return re.split(r"[/\\]", path)[-1].encode("utf-8", "replace").decode()


def safe(text: str, longest: int = LONGEST) -> str:
    """Make text a file name without ending: no path, device, control character or trailing dot.

    `longest` counts the bytes of its UTF-8 form.
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    text = "".join("_" if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in text)
    text = text.encode()[:longest].decode("utf-8", "ignore").strip(" .")
    return f"_{text}" if RESERVED.fullmatch(text) else text or "picture"


def one_line(text: str, longest: int = 80) -> str:
    """Make a stranger's text, such as a label, safe to show in one line."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def heatmap_names(heatmaps: Sequence[Heatmap]) -> tuple[str, ...]:
    """A name without ending for each heatmap: number, method, class index, layer.

    The number makes it unique. Labels stay out: they may hold anything.
    """
    digits = max(2, len(str(len(heatmaps))))
    return tuple(
        safe(f"{number:0{digits}}_{_plain(h.method)}_{h.target.index}_{_plain(h.layer) or 'input'}", 100)
        for number, h in enumerate(heatmaps, 1)
    )


def _plain(name: str) -> str:
    """Only letters, digits, dots and dashes, since shells read much else as orders."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name.replace(" + ", "+"))


def shown_reference(reference: str, fingerprint: str, names: Names) -> str:
    """The model's reference without any folder; hashed, a file is known by its fingerprint alone."""
    if FOLDERLESS.match(reference):
        return reference
    place = next((place for place in PLACES if reference.startswith(place)), "file:")
    return place + (file_name(reference.removeprefix(place)) if names == "keep" else fingerprint[:16])
