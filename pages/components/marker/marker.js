// Entry point: keep one marker per element over Streamlit's reruns, and connect its parts.

const markers = new WeakMap();

export default function ({ parentElement, data, setStateValue }) {
  if (!markers.has(parentElement)) markers.set(parentElement, markerIn(parentElement));
  const marker = markers.get(parentElement);
  marker.send = (drawing) => setStateValue("drawing", drawing);
  receive(marker, data);
  return () => {
    marker.watcher.disconnect();
    markers.delete(parentElement);
  };
}

function markerIn(parent) {
  const root = parent.querySelector(".marker");
  const part = (name) => root.querySelector(`.${name}`);
  const marker = {
    root, parts: { stage: part("stage"), canvas: part("picture"), marks: part("marks"), ring: part("ring") },
    picture: null, image: null, shapes: [], history: [], current: null, tool: "box", diameter: 0,
    frame: null, size: null, layers: null, pointer: null, turn: 0, painting: 0,
  };
  marker.repaint = () => { marker.painting ||= requestAnimationFrame(() => paint(marker)); };
  marker.change = (shapes) => { marker.history.push(marker.shapes); settle(marker, shapes); };
  marker.undo = () => undo(marker);
  marker.choose = (tool) => {
    if (root.dataset.purpose === "blanking") return;
    abandon(marker);
    marker.tool = tool;
    showPointer(marker, marker.pointer);
  };
  marker.resize = (diameter) => resize(marker, diameter);
  bindToolbar(marker);
  bindPointer(marker);
  bindKeys(marker);
  marker.watcher = new ResizeObserver(() => arrange(marker));
  marker.watcher.observe(marker.parts.stage);
  return marker;
}

// Apply what Python sent: shapes only if Python changed them or the picture, the picture only if it is a new one.
async function receive(marker, data) {
  marker.newest = data;
  const { picture } = data;
  marker.root.dataset.purpose = data.purpose;
  const same = marker.picture?.name === picture.name;
  const image = same ? marker.image : await decodedImage(picture.src);
  if (marker.newest !== data) return;
  Object.assign(marker, { most: data.most, mostPoints: data.most_points });
  if (!same) takePicture(marker, picture, image);
  const order = JSON.stringify([picture.name, data.shapes, data.overruled]);
  if (order !== marker.lastOrder) Object.assign(marker, { shapes: data.shapes, history: [], current: null });
  marker.lastOrder = order;
  arrange(marker);
  marker.repaint();
}

function takePicture(marker, picture, image) {
  Object.assign(marker, { picture, image, size: null });
  marker.parts.stage.style.aspectRatio = `${picture.width} / ${picture.height}`;
  const longest = Math.max(picture.width, picture.height);
  marker.root.querySelector(`[name="size"]`).max = Math.max(4, Math.round(longest / 4));
  marker.diameter = Math.max(2, Math.round(longest / 24));
}

// Canvases have the screen's resolution.
function arrange(marker) {
  const { picture, parts: { stage, canvas, marks } } = marker;
  if (!picture || !stage.clientWidth || !stage.clientHeight) return;
  const ratio = pixelRatio();
  const size = { width: Math.round(stage.clientWidth * ratio), height: Math.round(stage.clientHeight * ratio), ratio };
  if (marker.size?.width === size.width && marker.size.height === size.height) return;
  for (const element of [canvas, marks]) Object.assign(element, { width: size.width, height: size.height });
  Object.assign(marker, { size, frame: frameOf(picture, size), layers: layersOf(size) });
  paintPicture(marker);
  marker.repaint();
}

function paint(marker) {
  marker.painting = 0;
  if (!marker.frame) return;
  paintMarks(marker);
  showTools(marker);
}

function resize(marker, diameter) {
  const { min, max } = marker.root.querySelector(`[name="size"]`);
  marker.diameter = Math.min(Math.max(diameter, Number(min)), Number(max));
  showPointer(marker, marker.pointer);
  marker.repaint();
}

// Restore the shapes before the last change; of shapes from an earlier visit, remove the last.
function undo(marker) {
  if (marker.current) return abandon(marker);
  if (marker.history.length + marker.shapes.length === 0) return;
  settle(marker, marker.history.pop() ?? marker.shapes.slice(0, -1));
}

// Send the shapes to Python. The turn distinguishes the same drawing made twice.
function settle(marker, shapes) {
  marker.shapes = shapes;
  marker.turn += 1;
  marker.send({ shapes, turn: marker.turn, picture: marker.picture.name });
  marker.repaint();
}
