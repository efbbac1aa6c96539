// The part of the picture that is shown: zoom 1 is the whole picture; x and y are its centre in picture pixels.
// Linked panels share one view object.

const MOST_SCREEN_PIXELS = 48;
const GAP = 28;

function wholeView(picture) {
  return { zoom: 1, x: picture.width / 2, y: picture.height / 2, layer: canvasOf(1, 1), drawn: -1, version: 0 };
}

// Screen pixels per picture pixel, and where the picture's corner falls on the screen.
function frameOf(view, picture, size) {
  const scale = fitScale(picture, size) * view.zoom;
  return {
    scale,
    width: size.width,
    height: size.height,
    left: size.width / 2 - view.x * scale,
    top: size.height / 2 - view.y * scale,
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

// Zoom around a position, which stays where it is on the screen.
function zoomBy(view, picture, size, factor, place) {
  const most = Math.max(4, MOST_SCREEN_PIXELS / fitScale(picture, size));
  const zoom = Math.min(Math.max(view.zoom * factor, 1), most);
  const kept = view.zoom / zoom;
  view.x = place.x + (view.x - place.x) * kept;
  view.y = place.y + (view.y - place.y) * kept;
  view.zoom = zoom;
  keepInside(view, picture, size);
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

// The number of columns, by the number of panels and the picture's shape: wide pictures are stacked, and of
// three or four panels none is alone in the last row. A wanted number is reduced to one of its divisors only,
// so that rows that belong together stay together.
function columnsFor(count, available, aspect, wanted) {
  const usual = [1, 1, 2, 3, 4, 3, 3, 4, 4, 3, 5, 4, 4, 5, 5, 5];
  let columns = wanted || usual[Math.min(count, usual.length - 1)];
  const cell = () => (available - GAP * (columns - 1)) / columns;
  const small = () => cell() < 200 || cell() / aspect < (wanted ? 110 : 150);
  const alone = () => (wanted ? wanted % columns > 0 : count <= 4 && count % columns > 0);
  while (columns > 1 && (small() || alone())) columns -= 1;
  return { columns, cell: Math.floor(cell()) };
}

function tallestStage(count) {
  if (count === 1) return Math.min(Math.max(window.innerHeight - 340, 480), 760);
  return count <= 3 ? 640 : 480;
}
