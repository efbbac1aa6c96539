"""Parts of HTML files that need no server and make no request."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any


def with_parts(template: str, parts: Mapping[str, str | Iterator[str]]) -> Iterator[str]:
    """A template with its {{names}} replaced, piece by piece. Only the template is searched for names."""
    for place, text in enumerate(re.split(r"\{\{([\w-]+)\}\}", template)):
        if place % 2 == 0:
            yield text
        elif isinstance(part := parts[text], str):
            yield part
        else:
            yield from part


def csp_hash(text: str) -> str:
    """The source of a style or a script in a Content-Security-Policy."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() + "'"


def script_json(value: Any) -> str:
    """JSON in ASCII that cannot end the script element around it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
