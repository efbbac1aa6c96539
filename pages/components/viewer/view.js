// The part of the picture that is shown: zoom 1 is the whole picture; x and y are its centre in picture pixels.
// Linked panels share one view object.

const GAP = 28;
// The lines around a panel's picture; how much larger pictures must get to change the usual number of columns.
const ROW_WORDS = 104;
const MUCH_LARGER = 1.25;
const LEAST_STAGE = 260;
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

// The number of columns, by the number of panels and the picture's shape: as they fill the window best, and of three
// or four panels none is alone in the last row. A wanted number is reduced to one of its divisors only, so that rows
// that belong together stay together.
function columnsFor(count, { width, height }, aspect, wanted) {
  const usual = [1, 1, 2, 3, 4, 3, 3, 4, 4, 3, 5, 4, 4, 5, 5, 5];
  const cellOf = (columns) => Math.floor((width - GAP * (columns - 1)) / columns);
  const small = (columns) => cellOf(columns) < 200 || cellOf(columns) / aspect < (wanted ? 110 : 150);
  const alone = (columns) => (wanted ? wanted % columns > 0 : count <= 4 && count % columns > 0);
  let columns = wanted || usual[Math.min(count, usual.length - 1)];
  while (columns > 1 && (small(columns) || alone(columns))) columns -= 1;
  if (wanted) return { columns, cell: cellOf(columns) };
  // What a picture's width can be so that all rows stand in the window.
  const shown = (n) => Math.min(cellOf(n), (height / Math.ceil(count / n) - ROW_WORDS) * aspect);
  for (let n = 1; n <= count; n++) {
    if (!small(n) && !alone(n) && shown(n) > MUCH_LARGER * shown(columns)) columns = n;
  }
  return { columns, cell: cellOf(columns) };
}

// So that a whole row stands in the window, and tall pictures leave something of the page in it.
function tallestStage(height, cell) {
  return Math.max(Math.min(height - ROW_WORDS, TALLEST * cell), LEAST_STAGE);
}
