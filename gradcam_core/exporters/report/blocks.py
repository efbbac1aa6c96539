"""What a printed report is laid out from: blocks of known height, one below the other, on as many pages as needed."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from gradcam_core.exporters.letters import Ink, Type, draw, width_of, wrapped

# Draws at (left, top), in points from the lower left corner of the page.
Draw = Callable[[Canvas, float, float], None]


@dataclass(frozen=True, slots=True)
class Block:
    """Something `height` points high. With `stays`, the next block follows on the same page."""

    height: float
    draw: Draw
    stays: bool = False


def space(height: float) -> Block:
    """Nothing, `height` points high."""
    return Block(height, lambda canvas, left, top: None, stays=True)


def hairline(width: float, ink: Ink, above: float, below: float) -> Block:
    """A thin line with space above and below."""

    def drawn(canvas: Canvas, left: float, top: float) -> None:
        canvas.setStrokeColorRGB(*ink)
        canvas.setLineWidth(0.4)
        canvas.line(left, top - above, left + width, top - above)

    return Block(above + below, drawn, stays=True)


def paragraph(text: str, style: Type, width: float, *, indent: float = 0.0) -> list[Block]:
    """Text in lines, which may go on on the next page; no page ends with the first of several lines."""
    lines = wrapped(text, style, width - indent)
    blocks = [Block(style.leading, _line(line, style, indent)) for line in lines]
    return [replace(blocks[0], stays=len(blocks) > 1), *blocks[1:]]


def _line(line: str, style: Type, indent: float) -> Draw:
    return lambda canvas, left, top: draw(canvas, line, left + indent, top - 1.06 * style.size, style)


def ends(first: str, last: str, style: Type, width: float) -> Block:
    """Two short texts on one line: at its left and at its right end."""
    begin, end = wrapped(first, style, width)[0], wrapped(last, style, width)[0]
    place = width - width_of(end, style)

    def drawn(canvas: Canvas, left: float, top: float) -> None:
        draw(canvas, begin, left, top - 1.06 * style.size, style)
        draw(canvas, end, left + place, top - 1.06 * style.size, style)

    return Block(style.leading, drawn)


def image(content: bytes, width: float, height: float) -> Block:
    """An encoded picture. A JPEG is embedded as it is."""

    def drawn(canvas: Canvas, left: float, top: float) -> None:
        canvas.drawImage(ImageReader(io.BytesIO(content)), left, top - height, width, height)

    return Block(height, drawn)


def filled(width: float, height: float, ink: Ink) -> Block:
    """An area of one colour."""

    def drawn(canvas: Canvas, left: float, top: float) -> None:
        canvas.setFillColorRGB(*ink)
        canvas.rect(left, top - height, width, height, stroke=0, fill=1)

    return Block(height, drawn)


def stacked(blocks: Sequence[Block]) -> Block:
    """Blocks below each other that are not divided."""

    def drawn(canvas: Canvas, left: float, top: float) -> None:
        for block in blocks:
            block.draw(canvas, left, top)
            top -= block.height

    return Block(height_of(blocks), drawn)


def beside(parts: Sequence[tuple[float, Block]]) -> Block:
    """Blocks beside each other, each at its distance from the left."""

    def drawn(canvas: Canvas, left: float, top: float) -> None:
        for distance, block in parts:
            block.draw(canvas, left + distance, top)

    return Block(max((block.height for _, block in parts), default=0.0), drawn)


def height_of(blocks: Sequence[Block]) -> float:
    """The height of blocks below each other, in points."""
    return sum(block.height for block in blocks)


def pages_of(blocks: Sequence[Block], height: float) -> list[list[Block]]:
    """Divide blocks among pages of this height. Those that stay with the next ones move with them."""
    pages: list[list[Block]] = [[]]
    group: list[Block] = []
    for block in blocks:
        group.append(block)
        if block.stays:
            continue
        if pages[-1] and height_of([*pages[-1], *group]) > height:
            pages.append([])
        pages[-1] += group
        group = []
    pages[-1] += group
    return pages
