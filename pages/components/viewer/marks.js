// The objects that a detector found, over the picture: a box each, with its name. A click on one chooses it.

const MARK_TEXT = 12;
const MARK_PAD = 4;
const MARK_LETTERS = 40;
const MARK_REACH = 4; // pixels around a box that still belong to it
const WEAK_MARK = 0.5; // of the best score
const CLICK_REACH = 5; // pixels by which a click may move
const CLICK_AFTER_MS = 300; // a double click enlarges instead

function paintMarks({ data, canvas }, frame, viewer) {
  const { marks } = data;
  if (!marks?.length) return;
  const context = canvas.getContext("2d");
  const rank = ({ id, picked }) => (id === viewer.hovered ? 0 : picked ? 1 : 2);
  const ordered = [...marks].sort((one, other) => rank(one) - rank(other) || other.score - one.score);
  const quiet = marks.some(({ picked }) => picked);
  const best = Math.max(...marks.map(({ score }) => score));
  for (const mark of [...ordered].reverse()) {
    const strong = rank(mark) < 2;
    context.globalAlpha = strong || (!quiet && mark.score >= WEAK_MARK * best) ? 1 : 0.5;
    outlineMark(context, mark, frame, viewer.size.ratio, strong);
  }
  context.globalAlpha = 1;
  const taken = [];
  for (const mark of ordered) nameMark(context, mark, frame, viewer, rank(mark) < 2, taken);
}

function markOnScreen({ box: [left, top, right, bottom] }, frame) {
  return [
    frame.left + left * frame.scale, frame.top + top * frame.scale, (right - left) * frame.scale, (bottom - top) * frame.scale,
  ];
}

function outlineMark(context, mark, frame, ratio, strong) {
  for (const [width, colour] of [[strong ? 6 : 3.5, "rgb(0 0 0 / 70%)"], [strong ? 3 : 1.25, "white"]]) {
    context.lineWidth = width * ratio;
    context.strokeStyle = colour;
    context.strokeRect(...markOnScreen(mark, frame));
  }
}

// A name stands above its box where there is room, and nowhere over another one; of the chosen object it always does.
function nameMark(context, mark, frame, { size, root }, strong, taken) {
  const [left, top, width, height] = markOnScreen(mark, frame);
  if (left > size.width || top > size.height || left + width < 0 || top + height < 0) return;
  const pad = MARK_PAD * size.ratio;
  const tall = (MARK_TEXT + 2 * MARK_PAD) * size.ratio;
  context.font = `600 ${MARK_TEXT * size.ratio}px ${getComputedStyle(root).fontFamily}`;
  const text = mark.label.length > MARK_LETTERS ? `${mark.label.slice(0, MARK_LETTERS - 1)}…` : mark.label;
  const wide = context.measureText(text).width + 2 * pad;
  const x = Math.max(Math.min(left, size.width - wide), 0);
  const y = top >= tall ? top - tall : Math.max(Math.min(top, size.height - tall), 0);
  const meets = ([l, t, r, b]) => x < r && l < x + wide && y < b && t < y + tall;
  if (!strong && taken.some(meets)) return;
  taken.push([x, y, x + wide, y + tall]);
  context.fillStyle = strong ? "white" : "rgb(0 0 0 / 75%)";
  context.fillRect(x, y, wide, tall);
  context.fillStyle = strong ? "black" : "white";
  context.textBaseline = "middle";
  context.fillText(text, x + pad, y + tall / 2);
}

// The smallest box at a place; of equal ones that with the highest score.
function markAt(panel, place, viewer) {
  const reach = (MARK_REACH * viewer.size.ratio) / frameOf(panel.view, viewer.picture, viewer.size).scale;
  const within = ({ box: [left, top, right, bottom] }) => (
    place.x >= left - reach && place.x <= right + reach && place.y >= top - reach && place.y <= bottom + reach
  );
  const area = ({ box: [left, top, right, bottom] }) => (right - left) * (bottom - top);
  return (panel.data.marks ?? []).filter(within).sort((one, other) => area(one) - area(other))[0];
}

function hover(viewer, panel, event) {
  const mark = panel?.data.marks && viewer.size ? markAt(panel, placeUnder(viewer, panel, event), viewer) : null;
  if (panel) panel.canvas.style.cursor = mark && !viewer.dragged ? "pointer" : "";
  if ((mark?.id ?? null) === (viewer.hovered ?? null)) return;
  viewer.hovered = mark?.id ?? null;
  viewer.repaint();
}

// A click, not a drag, chooses the object or the place there.
function onClick(viewer, panel, event) {
  clearTimeout(viewer.picking);
  const [x, y] = viewer.pressed ?? [event.clientX, event.clientY];
  const dragged = Math.hypot(event.clientX - x, event.clientY - y) > CLICK_REACH;
  if (!panel || dragged || event.detail > 1 || !viewer.size || viewer.windowing) return;
  const { picture } = viewer;
  const place = placeUnder(viewer, panel, event);
  const inside = place.x >= 0 && place.y >= 0 && place.x < picture.width && place.y < picture.height;
  const mark = markAt(panel, place, viewer);
  if (!inside || !(panel.data.marks ? mark : viewer.layout.places)) return;
  viewer.picking = setTimeout(() => {
    viewer.send.trigger("picked", { mark: mark?.id ?? null, x: place.x, y: place.y, picture: picture.key });
  }, CLICK_AFTER_MS);
}
