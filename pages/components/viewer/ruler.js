// Lengths on the picture: a scale bar where the size of its pixels is known, and a line that is measured by hand.

const BAR_SHARE = 0.22; // the bar is at most this share of what is shown
const EDGE = 14;
const LETTERS = "12px system-ui, sans-serif";

function bindRuler(viewer) {
  const tick = viewer.root.querySelector('[name="measuring"]');
  tick.onchange = () => { viewer.measuring = tick.checked; viewer.ruler = null; viewer.repaint(); };
}

// A drag from here on moves the line's other end.
function startRuler(viewer, place) {
  viewer.ruler = { from: place, to: place };
  viewer.repaint();
}

function stretchRuler(viewer, place) {
  viewer.ruler.to = place;
  viewer.repaint();
}

function lengthText(pixels, spacing) {
  const px = `${Math.round(pixels)} px`;
  if (!spacing) return px;
  const mm = pixels * spacing;
  return `${mm < 10 ? mm.toFixed(2) : mm.toFixed(1)} mm (${px})`;
}

// 1, 2 or 5 times a power of ten, at most this long.
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].find((times) => times * power <= most) * power;
}

const barText = (mm) => (mm >= 10 ? `${Number((mm / 10).toPrecision(3))} cm` : `${Number(mm.toPrecision(3))} mm`);

function paintLengths(context, frame, viewer) {
  const { picture, size, ruler } = viewer;
  context.save();
  context.font = LETTERS.replace("12px", `${12 * size.ratio}px`);
  if (picture.spacing) paintScaleBar(context, frame, viewer);
  if (ruler) {
    const [from, to] = [ruler.from, ruler.to].map(({ x, y }) => [frame.left + x * frame.scale, frame.top + y * frame.scale]);
    paintLine(context, [from, to], size.ratio);
    const length = Math.hypot(ruler.to.x - ruler.from.x, ruler.to.y - ruler.from.y);
    paintWords(context, lengthText(length, picture.spacing), to[0] + 8 * size.ratio, to[1] - 8 * size.ratio, size);
  }
  context.restore();
}

function paintScaleBar(context, frame, { picture, size }) {
  const [left, , right, bottom] = shownPart(frame, picture);
  const perMm = frame.scale / picture.spacing; // canvas pixels a millimetre
  const mm = roundLength(Math.max(((right - left) * BAR_SHARE) / perMm, 1e-6));
  const [x, y] = [left + EDGE * size.ratio, bottom - EDGE * size.ratio];
  paintLine(context, [[x, y], [x + mm * perMm, y]], size.ratio);
  paintWords(context, barText(mm), x, y - 7 * size.ratio, size);
}

// White on a dark edge, with ends across it.
function paintLine(context, [[x0, y0], [x1, y1]], ratio) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  const [across, up] = [(-(y1 - y0) / length) * 4 * ratio, ((x1 - x0) / length) * 4 * ratio];
  for (const [width, colour] of [[3.5, "rgb(0 0 0 / 70%)"], [1.5, "white"]]) {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    for (const [x, y] of [[x0, y0], [x1, y1]]) {
      context.moveTo(x - across, y - up);
      context.lineTo(x + across, y + up);
    }
    context.lineWidth = width * ratio;
    context.strokeStyle = colour;
    context.stroke();
  }
}

function paintWords(context, words, x, y, { width, ratio }) {
  const left = Math.max(Math.min(x, width - context.measureText(words).width - 4 * ratio), 2 * ratio);
  const top = Math.max(y, 14 * ratio);
  context.lineJoin = "round";
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "rgb(0 0 0 / 75%)";
  context.strokeText(words, left, top);
  context.fillStyle = "white";
  context.fillText(words, left, top);
}
