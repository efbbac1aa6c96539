"""HTML files that need no server and make no request."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
"""


def head(title: str, style: str, script: str = "") -> str:
    """The beginning of a file up to its body, which may use this style and this script, and nothing from elsewhere."""
    scripts = [f"script-src {_csp_hash(script)}"] if script else []
    own = ["img-src data:", f"style-src {_csp_hash(style)}", *scripts]
    policy = "; ".join(["default-src 'none'", *own, "base-uri 'none'", "form-action 'none'"])
    return HEAD.format(policy=policy, title=html.escape(title), style=style)


def with_parts(template: str, parts: Mapping[str, str | Iterator[str]]) -> Iterator[str]:
    """A template with its {{names}} replaced, piece by piece. Only the template is searched for names."""
    for place, text in enumerate(re.split(r"\{\{([\w-]+)\}\}", template)):
        if place % 2 == 0:
            yield text
        elif isinstance(part := parts[text], str):
            yield part
        else:
            yield from part


def _csp_hash(text: str) -> str:
    """The source of a style or a script in a Content-Security-Policy."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() + "'"


def script_json(value: Any) -> str:
    """JSON in ASCII that cannot end the script element around it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
