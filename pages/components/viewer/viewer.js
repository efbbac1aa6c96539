// Entry point: keep one viewer per element over Streamlit's reruns, and connect its parts.

const COMMIT_AFTER_MS = 250;
const STRIP_CELL = 320;
// Lengths in CSS pixels, and shares of the window's height: around the panels; a line; where panels are reached by
// scrolling; what they get at least.
const MARGINS = 20;
const NOTE_LINE = 19;
const MOST_ABOVE = 0.7;
const LEAST_SHARE = 0.45;
const viewers = new WeakMap();

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  if (!viewers.has(parentElement)) viewers.set(parentElement, viewerIn(parentElement));
  const viewer = viewers.get(parentElement);
  viewer.send = { state: setStateValue, trigger: setTriggerValue };
  receive(viewer, data);
  return () => {
    viewer.watcher.disconnect();
    document.removeEventListener("keydown", viewer.onPageKey);
    window.removeEventListener("resize", viewer.onWindow);
    viewers.delete(parentElement);
  };
}

function viewerIn(parent) {
  const viewer = {
    parent, root: parent.querySelector(".viewer"), settings: {}, panels: [], picture: null, source: null, layout: {},
    size: null, linked: true, active: null, pointer: null, place: null, frame: 0, turn: 0, big: null, dragged: "",
    measuring: false, ruler: null, stack: null, own: null, turned: 0,
  };
  viewer.repaint = () => { viewer.frame ||= requestAnimationFrame(() => paint(viewer)); };
  viewer.commit = () => commit(viewer);
  viewer.rework = () => { viewer.stale = true; viewer.repaint(); };
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
  viewer.fit = () => viewer.setZoom(1);
  viewer.actual = () => viewer.size && viewer.setZoom(1 / fitScale(viewer.picture, viewer.size));
  viewer.setZoom = (zoom) => {
    if (!viewer.size) return;
    const view = viewOf(viewer);
    zoomTo(view, viewer.picture, viewer.size, zoom, viewer.place ?? { x: view.x, y: view.y });
    viewer.repaint();
  };
  viewer.link = (linked) => link(viewer, linked);
  for (const bind of [bindToolbar, bindWindow, bindRuler, bindStack, bindBig, bindMouse, bindKeys]) bind(viewer);
  viewer.host = viewer.root.getRootNode().host;
  viewer.onWindow = () => { viewer.above = null; arrange(viewer); };
  window.addEventListener("resize", viewer.onWindow);
  viewer.watcher = new ResizeObserver(() => arrange(viewer));
  const page = viewer.host.closest('[data-testid="stMainBlockContainer"]');
  const parts = [".big", ".head"].map((name) => viewer.root.querySelector(name));
  for (const element of [viewer.root, ...parts, page]) if (element) viewer.watcher.observe(element);
  return viewer;
}

// Apply what Python sent: settings only if Python changed them, the picture only if it is a new one.
async function receive(viewer, data) {
  const order = JSON.stringify([data.settings, data.overruled]);
  if (order !== viewer.lastOrder) {
    Object.assign(viewer.settings, data.settings);
    viewer.stale = true;
    viewer.committed = JSON.stringify(viewer.settings); // a choice that is still to be sent is not lost over other runs
  }
  viewer.lastOrder = order;
  viewer.newest = data;
  const samePicture = ["src", "pixels"].every((name) => viewer.picture?.[name] === data.picture[name]);
  // Show nothing while a new picture is decoded: the former picture's maps must not appear under the new name.
  if (!samePicture) viewer.root.querySelector(".panels").replaceChildren();
  const source = samePicture ? viewer.source : await sourceOf(data.picture);
  if (viewer.newest !== data) return;
  viewer.layout = data.layout ?? {};
  const kinds = { marks: data.panels.some(({ marks }) => marks), places: Boolean(viewer.layout.places) };
  for (const [kind, there] of Object.entries(kinds)) viewer.root.classList.toggle(`with-${kind}`, there);
  if (viewer.layout.chosen?.[0] === viewer.asked) viewer.asked = null;
  if (!samePicture) takePicture(viewer, source);
  viewer.diverging = bytesOf(data.diverging);
  if (viewer.sent !== data.sent) viewer.arrival = Date.now() - data.sent;
  viewer.sent = data.sent;
  viewer.wantedColumns = data.columns;
  viewer.colours = Object.fromEntries(
    Object.entries(data.colormaps).map(([name, { label, table }]) => [name, { label, table: bytesOf(table) }]),
  );
  const panels = JSON.stringify([data.panels, viewer.layout.selectable]);
  // A run that changes no panel leaves them in place: someone may be dragging on one.
  if (!samePicture || panels !== viewer.lastPanels) {
    takePanels(viewer, data.panels);
    viewer.above = null;
  }
  viewer.lastPanels = panels;
  listColours(viewer);
  link(viewer, viewer.linked);
  viewer.size = null;
  arrange(viewer);
}

// Raw values of different methods or layers cannot be compared: the shared scale is per unit.
function highestOf(panels, unit) {
  return Math.max(0, ...panels.filter(({ heat, data }) => heat && data.unit === unit).map(({ data }) => data.peak));
}

function takePicture(viewer, source) {
  Object.assign(viewer, { picture: source.picture, source, stale: true, view: wholeView(source.picture), ruler: null });
  viewer.own = source;
  listPresets(viewer);
  takeStack(viewer);
  fetchValues(viewer, source);
}

function takePanels(viewer, panels) {
  const place = viewer.panels.findIndex(({ data: { id } }) => id === viewer.big?.panel);
  const units = new Set(panels.filter(({ kind }) => kind !== "picture").map(({ unit }) => unit));
  viewer.panels = panels.map((panel) => panelOf(panel, viewer, units.size === 1));
  if (viewer.big?.panel) keepBig(viewer, place);
  for (const panel of viewer.panels) panel.highest = highestOf(viewer.panels, panel.data.unit);
  viewer.active = null;
  viewer.root.querySelector(".panels").replaceChildren(...viewer.panels.map((panel) => panel.element));
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

// Lay the panels out for the room that there is; canvases have the screen's resolution.
function arrange(viewer) {
  const { root, panels, picture, big } = viewer;
  if (!picture || !panels.length) return;
  if (!root.offsetWidth) return; // hidden while a picture is read
  const room = { ...roomOf(viewer), words: wordsOf(panels), ratio: pixelRatio() };
  const where = JSON.stringify([room, big]);
  if (viewer.size?.where === where) return;
  showBigState(viewer);
  const { columns, cell, height, strip } = big && shownPanels(viewer).length === 1 ? oneUp(viewer, room) : grid(viewer, room);
  root.classList.toggle("strip", Boolean(strip));
  root.querySelector(".panels").style.gridTemplateColumns = `repeat(${columns}, ${cell}px)`;
  viewer.size = { width: Math.round(cell * room.ratio), height: Math.round(height * room.ratio), ratio: room.ratio, where };
  viewer.scratch = scratchOf(viewer.size);
  keepScale(viewer);
  for (const { canvas, view } of panels) {
    Object.assign(canvas, { width: viewer.size.width, height: viewer.size.height });
    const css = (length) => `${length / room.ratio}px`;
    Object.assign(canvas.style, { width: css(viewer.size.width), height: css(viewer.size.height) });
    zoomBy(view, picture, viewer.size, 1, view);
  }
  viewer.repaint();
}

// A picture that is zoomed keeps its scale when the room changes, as 1:1 must; one that fits goes on fitting.
function keepScale(viewer) {
  const { big, picture, size, fitted } = viewer;
  const now = { scale: fitScale(picture, size), big: Boolean(big), key: picture.key };
  viewer.fitted = now;
  if (!fitted || fitted.big !== now.big || fitted.key !== now.key || fitted.scale === now.scale) return;
  for (const view of new Set(viewer.panels.map((panel) => panel.view))) {
    if (view.zoom !== 1) view.zoom = Math.max((view.zoom * fitted.scale) / now.scale, 1e-3);
  }
}

// Width and height for the panels in CSS pixels: in the big view the whole window, otherwise what one sees of them before
// the page is scrolled. Where they begin far down the page, it is scrolled anyway.
function roomOf(viewer) {
  const { root, big } = viewer;
  const unfolded = big ? 0 : root.querySelector(".extras").offsetHeight; // pictures on the page stay as they are
  const head = root.querySelector(".head").offsetHeight - unfolded;
  const width = root.querySelector(big ? ".panels" : ".whole").clientWidth - (big ? 12 : 0);
  const all = window.innerHeight;
  const above = big ? 0 : aboveOf(viewer);
  const scrolled = above > MOST_ABOVE * all;
  const height = all - head - MARGINS - (scrolled ? 0 : above);
  return { width, height: scrolled || big ? height : Math.max(height, LEAST_SHARE * all) };
}

// How far down the page the viewer begins. What is unfolded above it for a moment does not count.
function aboveOf(viewer) {
  let above = viewer.root.getBoundingClientRect().top;
  for (let element = viewer.host; element; element = element.parentElement) above += element.scrollTop;
  viewer.above = Math.min(viewer.above ?? Infinity, Math.max(Math.round(above), 0));
  return viewer.above;
}

function grid({ panels, picture, layout, wantedColumns, big }, room) {
  const aspect = picture.width / picture.height;
  const several = layoutFor(panels.length, room, aspect, wantedColumns);
  if (!layout.strip || big || several.whole === panels.length) return several; // what stands in the window needs no strip
  const height = Math.min(STRIP_CELL / aspect, tallestStage(room, STRIP_CELL));
  return { columns: panels.length, cell: STRIP_CELL, height: Math.ceil(height), strip: true };
}

// The height of the lines above and below a picture, as far as panels are shown; a note counts as one line.
function wordsOf(panels) {
  const note = panels.some(({ data }) => data.note) ? NOTE_LINE : 0;
  return note + Math.max(...panels.map(({ element, canvas }) => (
    element.offsetHeight - canvas.offsetHeight - element.querySelector(".note").offsetHeight
  )));
}

// One panel in all the room, whatever the picture's shape.
function oneUp(viewer, room) {
  const [{ element, canvas }] = shownPanels(viewer);
  const words = element.offsetHeight - canvas.offsetHeight;
  return { columns: 1, cell: room.width, height: Math.max(room.height - words, 120) };
}

function paint(viewer) {
  viewer.frame = 0;
  if (!viewer.picture || !viewer.size) return;
  const start = performance.now();
  if (viewer.stale) {
    applyWindow(viewer);
    for (const panel of viewer.panels) panel.view.version += 1;
  }
  viewer.stale = false;
  for (const panel of shownPanels(viewer)) paintPanel(panel, viewer);
  tidyTiles(viewer);
  const painted = Math.max(1, Math.round(performance.now() - start));
  const arrived = `Arrived in ${Math.max(0, Math.round(viewer.arrival))} ms`;
  viewer.root.querySelector(".timing").textContent = `${arrived}, painted in ${painted} ms`;
  showSettings(viewer);
  showLegend(viewer);
  showWindow(viewer);
  showPlace(viewer);
  showZoom(viewer);
}

// Send the settings to Python once they have not changed for a while. The turn distinguishes the same choice made twice.
function commit(viewer) {
  clearTimeout(viewer.committing);
  viewer.committing = setTimeout(() => {
    const settings = JSON.stringify(viewer.settings);
    if (settings === viewer.committed) return;
    viewer.committed = settings;
    viewer.turn += 1;
    viewer.send.state("settings", { ...viewer.settings, picture: viewer.picture.key, turn: viewer.turn });
  }, COMMIT_AFTER_MS);
}
