// The part of the picture that is shown: zoom 1 is the whole picture; x and y are its centre in picture pixels.
// Linked panels share one view object.

const GAP = 28;
const GAP_DOWN = 24;
// The least area of a picture that can be read, in CSS pixels; a row that belongs together may be smaller.
const LEAST_AREA = 32000;
const LEAST_HEIGHT = 40;
const TALLEST = 1.5;

function wholeView(picture) {
  return { zoom: 1, x: picture.width / 2, y: picture.height / 2, layer: canvasOf(1, 1), drawn: -1, version: 0 };
}

// Screen pixels per picture pixel, and where the picture's corner falls on the screen: on whole screen pixels once
// the picture's own pixels can be told apart.
function frameOf(view, picture, size) {
  const exact = fitScale(picture, size) * view.zoom;
  const scale = Math.abs(exact - 1) < 1e-6 ? 1 : exact;
  const round = scale >= 1 ? Math.round : (length) => length;
  return {
    scale,
    width: size.width,
    height: size.height,
    left: round(size.width / 2 - view.x * scale),
    top: round(size.height / 2 - view.y * scale),
  };
}

// The part of the screen that the picture covers: left, top, right, bottom.
function shownPart({ left, top, scale, width, height }, picture) {
  return [
    Math.max(left, 0), Math.max(top, 0),
    Math.min(left + picture.width * scale, width), Math.min(top + picture.height * scale, height),
  ];
}

function fitScale(picture, size) {
  return Math.min(size.width / picture.width, size.height / picture.height);
}

// Zoom around a position, which stays where it is on the screen. A picture that is shown larger than it is at "Fit"
// may be smaller than that at 1:1.
function zoomBy(view, picture, size, factor, place) {
  zoomTo(view, picture, size, Math.max(view.zoom * factor, Math.min(view.zoom, 1)), place);
}

function zoomTo(view, picture, size, wanted, place) {
  const zoom = Math.min(wanted, mostZoom(picture, size));
  const kept = view.zoom / zoom;
  view.x = place.x + (view.x - place.x) * kept;
  view.y = place.y + (view.y - place.y) * kept;
  view.zoom = zoom;
  keepInside(view, picture, size);
}

function mostZoom(picture, size) {
  return Math.max(1, picture.mostScale / fitScale(picture, size));
}

// Move by screen pixels.
function moveBy(view, picture, size, right, down) {
  const scale = fitScale(picture, size) * view.zoom;
  view.x += right / scale;
  view.y += down / scale;
  keepInside(view, picture, size);
}

function keepInside(view, picture, size) {
  const scale = fitScale(picture, size) * view.zoom;
  view.x = clampedMiddle(view.x, picture.width, size.width / scale);
  view.y = clampedMiddle(view.y, picture.height, size.height / scale);
  view.version += 1;
}

function clampedMiddle(middle, length, shown) {
  if (shown >= length) return length / 2;
  return Math.min(Math.max(middle, shown / 2), length - shown / 2);
}

// Columns, and the width and height of a panel's picture: as many panels as can stand in the room at a size that can be
// read, and of all such layouts the one with the largest pictures. `words` is the height of a panel's lines. Of three or
// four panels none is alone in the last row. A wanted number of columns is reduced to one of its divisors only, so that
// rows that belong together stay together.
function layoutFor(count, { width, height, words }, aspect, wanted) {
  const least = wanted ? LEAST_AREA / 2 : LEAST_AREA;
  let best = { whole: -1, area: 0 };
  for (let columns = 1; columns <= (wanted ?? count); columns++) {
    if (wanted ? wanted % columns : count <= 4 && count % columns) continue;
    const cell = Math.floor((width - GAP * (columns - 1)) / columns);
    for (let rows = Math.ceil(count / columns); rows > 0; rows--) {
      const room = (height - GAP_DOWN * (rows - 1)) / rows - words;
      const stage = Math.max(Math.min(cell / aspect, room), LEAST_HEIGHT);
      const area = stage * Math.min(stage * aspect, cell);
      const whole = area >= least ? Math.min(count, columns * rows) : 0;
      const larger = area > best.area || (!whole && area === best.area);
      if (whole > best.whole || (whole === best.whole && larger)) best = { columns, cell, height: Math.floor(stage), whole, area };
    }
  }
  return best;
}

// A picture in a strip: a whole one stands in the window, and a tall one leaves something of the page in it.
function tallestStage({ height, words }, cell) {
  return Math.max(Math.min(height - words, TALLEST * cell), LEAST_HEIGHT);
}
