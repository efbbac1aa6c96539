// From the pointer (mouse, pen or touch, one at a time) to shapes. Only finished shapes are sent.

const LEAST_BOX = 3;

function bindPointer(marker) {
  const { marks } = marker.parts;
  marks.addEventListener("pointerdown", (event) => begin(marker, event));
  marks.addEventListener("pointermove", (event) => follow(marker, event));
  marks.addEventListener("pointerup", (event) => finish(marker, event));
  marks.addEventListener("pointercancel", () => abandon(marker));
  marks.addEventListener("pointerleave", () => showPointer(marker, null));
}

// A position in pixels of the picture, to a hundredth.
function placeOf({ parts, size, frame }, event) {
  const box = parts.marks.getBoundingClientRect();
  const at = (client, start, length, pixels, corner) => ((client - start) * (pixels / length) - corner) / frame.scale;
  return [
    rounded(at(event.clientX, box.left, box.width, size.width, frame.left)),
    rounded(at(event.clientY, box.top, box.height, size.height, frame.top)),
  ];
}

function rounded(number) {
  return Math.round(number * 100) / 100;
}

function begin(marker, event) {
  if (!marker.frame || !event.isPrimary || event.button !== 0) return;
  if (marker.shapes.length >= marker.most) return showCount(marker);
  marker.parts.marks.setPointerCapture(event.pointerId);
  marker.start = placeOf(marker, event);
  const { start } = marker;
  marker.current = marker.tool === "box" ? boxBetween(marker, start, start) : strokeAt(marker, start);
  marker.repaint();
}

function follow(marker, event) {
  if (!marker.frame || !event.isPrimary) return;
  showPointer(marker, event);
  if (!marker.current) return;
  if (marker.current.kind === "box") {
    marker.current = boxBetween(marker, marker.start, placeOf(marker, event));
  } else {
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) extend(marker, placeOf(marker, step));
  }
  marker.repaint();
}

function finish(marker, event) {
  const { current } = marker;
  if (!current || !event.isPrimary) return;
  if (current.kind === "box") marker.current = boxBetween(marker, marker.start, placeOf(marker, event));
  const shape = marker.current;
  marker.current = null;
  if (isMeant(marker, shape)) marker.change([...marker.shapes, shape]);
  else marker.repaint();
}

function abandon(marker) {
  marker.current = null;
  marker.repaint();
}

// A box is clamped to the picture.
function boxBetween({ picture }, [x, y], [x2, y2]) {
  const clamped = (value, most) => Math.min(Math.max(value, 0), most);
  return {
    kind: "box",
    left: clamped(Math.min(x, x2), picture.width), top: clamped(Math.min(y, y2), picture.height),
    right: clamped(Math.max(x, x2), picture.width), bottom: clamped(Math.max(y, y2), picture.height),
  };
}

function strokeAt({ tool, diameter }, place) {
  return { kind: tool, points: [place], radius: diameter / 2 };
}

// Keep points close enough for the stroke's shape, and no closer, since they are sent to Python.
// A stroke that has its most points is continued by another one.
function extend(marker, place) {
  const { current, picture, frame, size } = marker;
  const clamped = [within(place[0], picture.width), within(place[1], picture.height)];
  const [x, y] = current.points.at(-1);
  const apart = Math.max(current.radius / 8, (0.75 * size.ratio) / frame.scale);
  if (Math.hypot(clamped[0] - x, clamped[1] - y) < apart) return;
  if (current.points.length < marker.mostPoints) return void current.points.push(clamped);
  if (marker.shapes.length + 1 >= marker.most) return;
  marker.change([...marker.shapes, current]);
  marker.current = { ...current, points: [[x, y], clamped] };
}

// A stroke may leave the picture by as much as the picture is long.
function within(value, length) {
  return Math.min(Math.max(value, -length), 2 * length);
}

// Ignore clicks with the box tool, and strokes outside the picture.
function isMeant({ picture, frame, size }, shape) {
  if (shape.kind === "box") {
    const least = (LEAST_BOX * size.ratio) / frame.scale;
    return shape.right - shape.left >= least && shape.bottom - shape.top >= least;
  }
  const near = (value, length) => value > -shape.radius && value < length + shape.radius;
  return shape.points.some(([x, y]) => near(x, picture.width) && near(y, picture.height));
}
