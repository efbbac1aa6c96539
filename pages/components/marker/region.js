// Paint the marked region over the picture: a light fill, and a line around it.
// The line lies outside the region, so that it hides nothing; its dark rim is visible on light pictures.

const MARK = "rgb(34 224 240)";
const RIM = "rgb(0 0 0)";
const FILL_COVER = 0.25;
const RIM_COVER = 0.62;
const LINE_WIDTH = 1.75;
const RIM_WIDTH = 3;

// Screen pixels per picture pixel, and where the picture's corner falls on the canvas.
function frameOf(picture, { width, height }) {
  const scale = Math.min(width / picture.width, height / picture.height);
  return { scale, left: (width - picture.width * scale) / 2, top: (height - picture.height * scale) / 2 };
}

// Large pixels are shown as such; small ones are smoothed.
function paintPicture({ parts, picture, image, frame }) {
  const context = parts.canvas.getContext("2d");
  context.imageSmoothingEnabled = (frame.scale * picture.width) / image.width < 3;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, frame.left, frame.top, picture.width * frame.scale, picture.height * frame.scale);
}

function layersOf({ width, height }) {
  const layer = () => Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  return { region: layer(), line: layer(), rim: layer(), all: layer(), drawn: [] };
}

// Finished shapes are painted once; only the shape that is being drawn is painted at every move.
function paintMarks(marker) {
  const { parts, layers, shapes, current } = marker;
  if (layers.drawn !== shapes) paintFinished(marker);
  const context = parts.marks.getContext("2d");
  clear(context);
  context.drawImage(layers.all.canvas, 0, 0);
  if (current) paintCurrent(context, current, marker);
}

function paintFinished(marker) {
  const { layers: { region, line, rim, all, drawn }, shapes, size } = marker;
  const goesOn = drawn.every((shape, index) => shape === shapes[index]);
  for (const context of goesOn ? [all] : [region, line, rim, all]) clear(context);
  for (const shape of goesOn ? shapes.slice(drawn.length) : shapes) {
    addShape(region, shape, 0, MARK, marker);
    addShape(line, shape, LINE_WIDTH * size.ratio, MARK, marker);
    addShape(rim, shape, RIM_WIDTH * size.ratio, RIM, marker);
  }
  lay(all, rim, RIM_COVER);
  lay(all, line, 1);
  all.globalCompositeOperation = "destination-out";
  lay(all, region, 1);
  all.globalCompositeOperation = "source-over";
  lay(all, region, FILL_COVER);
  marker.layers.drawn = shapes;
}

// Erase at once; the new edge gets its line at the end of the stroke.
function paintCurrent(context, shape, marker) {
  const { ratio } = marker.size;
  const hole = { ...shape, kind: shape.kind === "box" ? "hole" : "erase" };
  if (shape.kind === "erase") return addShape(context, hole, 0, MARK, marker);
  addShape(context, shape, RIM_WIDTH * ratio, `rgb(0 0 0 / ${RIM_COVER})`, marker);
  addShape(context, shape, LINE_WIDTH * ratio, MARK, marker);
  addShape(context, hole, 0, MARK, marker);
  context.globalAlpha = FILL_COVER;
  addShape(context, shape, 0, MARK, marker);
  context.globalAlpha = 1;
}

// Add a shape that is wider by so many screen pixels on every side; or erase one that is narrower by as many.
// So the layer of a line holds the region and the line's width around it.
function addShape(context, shape, wider, colour, { picture, frame: { scale, left, top } }) {
  const away = shape.kind === "erase" || shape.kind === "hole";
  const margin = wider / scale;
  context.save();
  context.setTransform(scale, 0, 0, scale, left, top);
  context.beginPath();
  context.rect(-margin, -margin, picture.width + 2 * margin, picture.height + 2 * margin);
  context.clip();
  context.globalCompositeOperation = away ? "destination-out" : "source-over";
  context.fillStyle = context.strokeStyle = colour;
  if (shape.points) addStroke(context, shape.points, shape.radius + (away ? -margin : margin));
  else addBox(context, shape, margin);
  context.restore();
}

function addBox(context, { left, top, right, bottom }, margin) {
  context.fillRect(left - margin, top - margin, right - left + 2 * margin, bottom - top + 2 * margin);
}

function addStroke(context, points, radius) {
  if (radius <= 0) return;
  const [[x, y], ...rest] = points;
  context.beginPath();
  if (rest.length === 0) {
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return context.fill();
  }
  context.moveTo(x, y);
  for (const point of rest) context.lineTo(...point);
  Object.assign(context, { lineWidth: 2 * radius, lineCap: "round", lineJoin: "round" });
  context.stroke();
}

function lay(context, layer, cover) {
  context.globalAlpha = cover;
  context.drawImage(layer.canvas, 0, 0);
  context.globalAlpha = 1;
}

function clear(context) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
}
