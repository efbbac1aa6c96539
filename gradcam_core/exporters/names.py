"""File names that every system accepts, and model references without names of people."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from gradcam_core.files import last_part
from gradcam_core.records import Heatmap

Names = Literal["keep", "hash"]

# Windows reserves these names for devices, whatever the ending.
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
LONGEST = 150
FOLDERLESS = re.compile(r"(bundled|torchvision):|(timm|open-clip):(?!local-dir:)|memory\b")
PLACES = ("timm:local-dir:", "open-clip:local-dir:", "file:")


def file_name(path: str) -> str:
    """Return the last part of a path of any system, as valid text."""
    return last_part(path).encode("utf-8", "replace").decode()


def safe(text: str, longest: int = LONGEST) -> str:
    """Make text a file name without ending: no path, device name, control character or trailing dot.

    `longest` counts the bytes of its UTF-8 form.
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    text = "".join("_" if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in text)
    text = text.encode()[:longest].decode("utf-8", "ignore").strip(" .")
    return f"_{text}" if RESERVED.fullmatch(text) else text or "picture"


def heatmap_names(heatmaps: Sequence[Heatmap]) -> tuple[str, ...]:
    """Name each heatmap, without ending: number, method, class index, layer.

    The number makes it unique. Labels are left out: they can contain anything.
    """
    digits = max(2, len(str(len(heatmaps))))
    return tuple(
        safe(f"{number:0{digits}}_{_plain(h.method)}_{h.target.index}_{_plain(h.layer) or 'input'}", 100)
        for number, h in enumerate(heatmaps, 1)
    )


def _plain(name: str) -> str:
    """Keep letters, digits, dots and dashes only: shells interpret many other characters."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name.replace(" + ", "+"))


def shown_reference(reference: str, fingerprint: str, names: Names) -> str:
    """Return the model's reference without folders; with "hash", a file is named by its fingerprint alone."""
    if FOLDERLESS.match(reference):
        return reference
    place = next((place for place in PLACES if reference.startswith(place)), "file:")
    return place + (file_name(reference.removeprefix(place)) if names == "keep" else fingerprint[:16])
