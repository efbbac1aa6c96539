// Entry point: keep one viewer per element over Streamlit's reruns, and connect its parts.

const COMMIT_AFTER_MS = 250;
const STRIP_CELL = 320;
const viewers = new WeakMap();

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  if (!viewers.has(parentElement)) viewers.set(parentElement, viewerIn(parentElement));
  const viewer = viewers.get(parentElement);
  viewer.send = { state: setStateValue, trigger: setTriggerValue };
  receive(viewer, data);
  return () => {
    viewer.watcher.disconnect();
    viewers.delete(parentElement);
  };
}

function viewerIn(parent) {
  const viewer = {
    parent, root: parent.querySelector(".viewer"), settings: {}, window: { ...WHOLE_RANGE }, panels: [], picture: null,
    size: null, cells: false, linked: true, active: null, place: null, frame: 0, turn: 0,
  };
  viewer.repaint = () => { viewer.frame ||= requestAnimationFrame(() => paint(viewer)); };
  viewer.commit = () => commit(viewer);
  viewer.zoom = (factor, place, panel) => {
    if (!viewer.size) return;
    const view = panel?.view ?? viewOf(viewer);
    zoomBy(view, viewer.picture, viewer.size, factor, place ?? { x: view.x, y: view.y });
    viewer.repaint();
  };
  viewer.move = (right, down) => {
    if (!viewer.size) return;
    const { picture, size } = viewer;
    moveBy(viewOf(viewer), picture, size, (right * size.width) / 8, (down * size.height) / 8);
    viewer.repaint();
  };
  viewer.fit = () => viewer.zoom(0);
  viewer.link = (linked) => link(viewer, linked);
  viewer.reworkPicture = () => reworkPicture(viewer);
  bindToolbar(viewer);
  bindMouse(viewer);
  bindKeys(viewer);
  viewer.watcher = new ResizeObserver(() => arrange(viewer));
  viewer.watcher.observe(viewer.root);
  return viewer;
}

// Apply what Python sent: settings only if Python changed them, the picture only if it is a new one.
async function receive(viewer, data) {
  const order = JSON.stringify([data.settings, data.overruled]);
  if (order !== viewer.lastOrder) Object.assign(viewer.settings, data.settings);
  viewer.lastOrder = order;
  viewer.committed = JSON.stringify(viewer.settings);
  viewer.newest = data;
  const samePicture = viewer.picture?.src === data.picture.src;
  // Show nothing while a new picture is decoded: the former picture's maps must not appear under the new name.
  if (!samePicture) viewer.root.querySelector(".panels").replaceChildren();
  const picture = samePicture ? viewer.drawnPicture : await decoded(data.picture.src);
  if (viewer.newest !== data) return;
  if (!samePicture) takePicture(viewer, data.picture, picture);
  viewer.selectable = data.selectable;
  viewer.strip = data.strip;
  viewer.root.classList.toggle("strip", Boolean(data.strip));
  viewer.diverging = bytesOf(data.diverging);
  if (viewer.sent !== data.sent) viewer.arrival = Date.now() - data.sent;
  viewer.sent = data.sent;
  viewer.wantedColumns = data.columns;
  viewer.colours = Object.fromEntries(
    Object.entries(data.colormaps).map(([name, { label, table }]) => [name, { label, table: bytesOf(table) }]),
  );
  viewer.panels = data.panels.map((panel) => panelOf(panel, viewer));
  for (const panel of viewer.panels) panel.highest = highestOf(viewer.panels, panel.data.unit);
  viewer.active = null;
  viewer.root.querySelector(".panels").replaceChildren(...viewer.panels.map((panel) => panel.element));
  listColours(viewer);
  link(viewer, viewer.linked);
  viewer.size = null;
  arrange(viewer);
}

// Raw values of different methods or layers cannot be compared: the shared scale is per unit.
function highestOf(panels, unit) {
  return Math.max(0, ...panels.filter(({ heat, data }) => heat && data.unit === unit).map(({ data }) => data.peak));
}

async function decoded(src) {
  const image = await decodedImage(src);
  const canvas = canvasOf(image.naturalWidth, image.naturalHeight);
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
}

function takePicture(viewer, picture, canvas) {
  viewer.picture = picture;
  viewer.drawnPicture = canvas;
  viewer.shownPicture = canvas;
  viewer.window = { ...WHOLE_RANGE };
  viewer.grey = isGrey(canvas);
  viewer.view = wholeView(picture);
}

function reworkPicture(viewer) {
  viewer.shownPicture = windowed(viewer.drawnPicture, viewer.window);
  for (const panel of viewer.panels) panel.view.version += 1;
  viewer.repaint();
}

// The view that buttons and keys change: the common one, or that of the panel last pointed at.
function viewOf(viewer) {
  return viewer.linked ? viewer.view : (viewer.active ?? viewer.panels[0]).view;
}

function link(viewer, linked) {
  if (linked && !viewer.linked) viewer.view = viewOf(viewer);
  viewer.linked = linked;
  for (const panel of viewer.panels) {
    panel.view = linked ? viewer.view : { ...panel.view, layer: canvasOf(1, 1), drawn: -1 };
  }
  viewer.repaint();
}

// Lay the panels out for the available width; canvases have the screen's resolution.
function arrange(viewer) {
  const { root, panels, picture } = viewer;
  const [available, ratio] = [root.clientWidth, pixelRatio()];
  if (!picture || !panels.length || !available) return;
  if (viewer.size?.available === available && viewer.size.ratio === ratio) return;
  const aspect = picture.width / picture.height;
  const { columns, cell } = viewer.strip
    ? { columns: panels.length, cell: STRIP_CELL }
    : columnsFor(panels.length, available, aspect, viewer.wantedColumns);
  const height = Math.ceil(Math.min(cell / aspect, tallestStage(panels.length)));
  root.querySelector(".panels").style.gridTemplateColumns = `repeat(${columns}, ${cell}px)`;
  viewer.size = { width: Math.round(cell * ratio), height: Math.round(height * ratio), ratio, available };
  viewer.scratch = scratchOf(viewer.size);
  for (const panel of panels) {
    Object.assign(panel.canvas, { width: viewer.size.width, height: viewer.size.height });
    Object.assign(panel.canvas.style, { width: `${cell}px`, height: `${height}px` });
    keepInside(panel.view, picture, viewer.size);
  }
  viewer.repaint();
}

function paint(viewer) {
  viewer.frame = 0;
  if (!viewer.picture || !viewer.size) return;
  const start = performance.now();
  for (const panel of viewer.panels) paintPanel(panel, viewer);
  const painted = Math.max(1, Math.round(performance.now() - start));
  const arrived = `Arrived in ${Math.max(0, Math.round(viewer.arrival))} ms`;
  viewer.root.querySelector(".timing").textContent = `${arrived}, painted in ${painted} ms`;
  showSettings(viewer);
  showLegend(viewer);
  showPlace(viewer, viewer.place);
  showZoom(viewer.root, viewOf(viewer).zoom);
}

// Send the settings to Python once they have not changed for a while. The turn distinguishes the same choice made twice.
function commit(viewer) {
  clearTimeout(viewer.committing);
  viewer.committing = setTimeout(() => {
    const settings = JSON.stringify(viewer.settings);
    if (settings === viewer.committed) return;
    viewer.committed = settings;
    viewer.turn += 1;
    viewer.send.state("settings", { ...viewer.settings, turn: viewer.turn });
  }, COMMIT_AFTER_MS);
}
