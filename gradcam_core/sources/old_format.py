"""PyTorch's oldest format keeps a module's class with its source text; torch's restricted unpickler refuses both."""

import pickletools
from io import BytesIO
from typing import Any, BinaryIO

from gradcam_core.sources.pickle_scan import PickleContents

NAME = "gradcam_core.class_without_source"
GLOBAL, REDUCE = f"c{NAME.replace('.', chr(10))}\n".encode(), b"R"


class ClassWithoutSource:
    """Called in the place of torch's look-up: of ("module", class, file, source text), only the class is taken."""

    def __new__(cls, kind: Any, wanted: Any, *source: Any) -> Any:
        """Give the class, which is a stand-in."""
        return wanted


def without_sources(stream: BinaryIO, contents: PickleContents) -> BytesIO:
    """Copy a file so that each class with its source text is a call of `ClassWithoutSource`, which the scan allows.

    The tuple that describes the class stays, with its places in the pickle's memo.
    """
    stream.seek(contents.begin)
    marks: list[int] = []
    last_mark = count = 0
    changes: list[tuple[int, int, bytes]] = []
    for opcode, _, place in pickletools.genops(stream):
        if opcode.name == "MARK":
            marks.append(place or 0)
        elif opcode.stack_before and pickletools.markobject in opcode.stack_before:
            last_mark = marks.pop()
        elif opcode.name == "BINPERSID":
            if count in contents.containers:
                changes += [(last_mark, 0, GLOBAL), (place or 0, 1, REDUCE)]
            count += 1
    stream.seek(0)
    data, done, copied = stream.read(), 0, BytesIO()
    for place, length, new in sorted(changes):
        copied.write(data[done:place] + new)
        done = place + length
    copied.write(data[done:])
    copied.seek(0)
    return copied
