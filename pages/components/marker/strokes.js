// From the hand to shapes: mouse, pen or touch, one at a time. Only a finished shape counts.

const LEAST_BOX = 3;

function bindHand(marker) {
  const { marks } = marker.parts;
  marks.addEventListener("pointerdown", (event) => begin(marker, event));
  marks.addEventListener("pointermove", (event) => follow(marker, event));
  marks.addEventListener("pointerup", (event) => finish(marker, event));
  marks.addEventListener("pointercancel", () => abandon(marker));
  marks.addEventListener("pointerleave", () => showHand(marker, null));
}

// A place in pixels of the picture, to a hundredth.
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
  showHand(marker, event);
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

// A box ends at the picture's edge.
function boxBetween({ picture }, [x, y], [x2, y2]) {
  const held = (value, most) => Math.min(Math.max(value, 0), most);
  return {
    kind: "box",
    left: held(Math.min(x, x2), picture.width), top: held(Math.min(y, y2), picture.height),
    right: held(Math.max(x, x2), picture.width), bottom: held(Math.max(y, y2), picture.height),
  };
}

function strokeAt({ tool, diameter }, place) {
  return { kind: tool, points: [place], radius: diameter / 2 };
}

// Points lie so close that nothing of the way is lost, and not closer: they travel to Python.
// Where a stroke has all the points it may have, another one goes on from there.
function extend(marker, place) {
  const { current, picture, frame, size } = marker;
  const held = [within(place[0], picture.width), within(place[1], picture.height)];
  const [x, y] = current.points.at(-1);
  const apart = Math.max(current.radius / 8, (0.75 * size.ratio) / frame.scale);
  if (Math.hypot(held[0] - x, held[1] - y) < apart) return;
  if (current.points.length < marker.mostPoints) return void current.points.push(held);
  if (marker.shapes.length + 1 >= marker.most) return;
  marker.change([...marker.shapes, current]);
  marker.current = { ...current, points: [[x, y], held] };
}

// A stroke may leave the picture by as much as the picture is long.
function within(value, length) {
  return Math.min(Math.max(value, -length), 2 * length);
}

// A click is no box, and a stroke beside the picture marks nothing.
function isMeant({ picture, frame, size }, shape) {
  if (shape.kind === "box") {
    const least = (LEAST_BOX * size.ratio) / frame.scale;
    return shape.right - shape.left >= least && shape.bottom - shape.top >= least;
  }
  const near = (value, length) => value > -shape.radius && value < length + shape.radius;
  return shape.points.some(([x, y]) => near(x, picture.width) && near(y, picture.height));
}
