// Mouse and keys. The wheel scrolls the page until a picture has been clicked; with Ctrl it always zooms.

function bindMouse(viewer) {
  const area = viewer.root.querySelector(".panels");
  const panelUnder = (event) => viewer.panels.find((panel) => panel.canvas === event.target);
  area.addEventListener("wheel", (event) => onWheel(viewer, panelUnder(event), event), { passive: false });
  area.addEventListener("pointermove", (event) => onMove(viewer, panelUnder(event), event));
  area.addEventListener("pointerleave", (event) => { viewer.pointer = null; showPlace(viewer); hover(viewer, null, event); });
  area.addEventListener("pointerdown", (event) => onPress(viewer, panelUnder(event), event));
  for (const end of ["pointerup", "pointercancel"]) area.addEventListener(end, () => onRelease(viewer));
  area.addEventListener("click", (event) => onClick(viewer, panelUnder(event), event));
  area.addEventListener("contextmenu", (event) => {
    if (viewer.source?.values && panelUnder(event)) event.preventDefault(); // the right button sets the window
  });
  area.addEventListener("dblclick", (event) => {
    if (panelUnder(event)) viewer.big ? leaveBig(viewer) : enlarge(viewer, panelUnder(event));
  });
}

// The position under the pointer, in pixels of the picture from its upper left corner.
function placeUnder(viewer, panel, { clientX, clientY }) {
  const frame = frameOf(panel.view, viewer.picture, viewer.size);
  const box = panel.canvas.getBoundingClientRect();
  const ratio = viewer.size.width / box.width;
  return {
    x: ((clientX - box.left) * ratio - frame.left) / frame.scale,
    y: ((clientY - box.top) * ratio - frame.top) / frame.scale,
  };
}

// The same for where the pointer was last. Keys, buttons and another layout move the picture below a resting pointer.
function placeOf(viewer) {
  const { pointer, size, panels, parent } = viewer;
  if (!pointer || !size) return null;
  const element = parent.elementFromPoint(pointer.clientX, pointer.clientY);
  const panel = viewer.dragged ? viewer.active : panels.find(({ canvas }) => canvas === element);
  return panel ? placeUnder(viewer, panel, pointer) : null;
}

function onWheel(viewer, panel, event) {
  if (!panel) return;
  const meant = event.ctrlKey || event.metaKey;
  const clicked = viewer.big || viewer.parent.activeElement === viewer.root.querySelector(".panels");
  const nothingLeft = panel.view.zoom === 1 && event.deltaY > 0 && viewer.stack?.frames === 1;
  if (!meant && (!clicked || nothingLeft)) return;
  event.preventDefault();
  viewer.active = panel;
  const turned = event.deltaMode === 0 ? event.deltaY : event.deltaY * 33;
  if (viewer.stack?.frames > 1 && !meant) return scrollStack(viewer, turned);
  const factor = Math.exp(-Math.min(Math.max(turned, -200), 200) * 0.0022);
  viewer.zoom(factor, placeUnder(viewer, panel, event), panel);
}

function onMove(viewer, panel, event) {
  viewer.pointer = { clientX: event.clientX, clientY: event.clientY };
  hover(viewer, panel, event);
  if (!panel) return showPlace(viewer);
  viewer.active = panel;
  if (viewer.dragged === "window") {
    dragWindow(viewer, event.movementX, event.movementY);
  } else if (viewer.dragged === "ruler") {
    stretchRuler(viewer, placeUnder(viewer, panel, event));
  } else if (viewer.dragged === "picture") {
    const ratio = viewer.size.width / panel.canvas.clientWidth;
    moveBy(panel.view, viewer.picture, viewer.size, -event.movementX * ratio, -event.movementY * ratio);
    viewer.repaint();
  }
  showPlace(viewer);
}

// The left button moves the picture; the right one, or Shift, sets the window of a grey picture.
function onPress(viewer, panel, event) {
  if (!panel || event.button === 1) return;
  const windowing = viewer.source?.values && (event.button === 2 || event.shiftKey || viewer.windowing);
  if (event.button === 2 && !windowing) return;
  viewer.active = panel;
  viewer.pressed = [event.clientX, event.clientY];
  viewer.dragged = windowing ? "window" : viewer.measuring && event.button === 0 ? "ruler" : "picture";
  if (viewer.dragged === "ruler") startRuler(viewer, placeUnder(viewer, panel, event));
  viewer.drag = null;
  viewer.root.classList.add(windowing ? "windowing" : "dragging");
  panel.canvas.setPointerCapture(event.pointerId);
}

function onRelease(viewer) {
  viewer.root.classList.remove("dragging", "windowing");
  if (viewer.dragged === "window") viewer.commit();
  if (viewer.dragged) viewer.rework(); // once more, with the best smoothing
  viewer.dragged = "";
}

function showPlace(viewer) {
  const place = placeOf(viewer);
  viewer.place = place;
  for (const panel of viewer.panels) pointAt(panel, place, viewer);
  const inside = viewer.panels.some((panel) => !panel.crosses[0].hidden);
  viewer.root.querySelector(".place").textContent = inside ? placeText(viewer.source, Math.floor(place.x), Math.floor(place.y)) : "";
}

function placeText(source, x, y) {
  const stored = storedAt(source, x, y);
  const text = `x ${x}  y ${y}`;
  if (!source.values) return text;
  const unit = source.picture.unit ? ` ${source.picture.unit}` : "";
  return stored ? `${text}  value ${stored.exact ? "" : "≈ "}${withMinus(shortNumber(stored.value))}${unit}` : `${text}  no value`;
}

function bindKeys(viewer) {
  viewer.root.addEventListener("keydown", (event) => onKey(viewer, event));
  viewer.onPageKey = (event) => {
    if (event.composedPath().includes(viewer.root)) return;
    if (viewer.big || (event.key.startsWith("Page") && !isField(event.composedPath()[0]))) onKey(viewer, event);
  };
  document.addEventListener("keydown", viewer.onPageKey);
}

const isField = ({ tagName, isContentEditable }) => ["INPUT", "SELECT", "TEXTAREA"].includes(tagName) || isContentEditable;

function onKey(viewer, event) {
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const { tagName, type } = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || viewer.root.querySelector(".help").open) return;
  if (tagName === "SELECT" || type === "number" || (tagName === "INPUT" && event.key in arrows)) return;
  if (event.key === "Enter" && ["BUTTON", "INPUT"].includes(tagName)) return;
  const act = event.key in arrows ? () => viewer.move(...arrows[event.key]) : keyActions(viewer)[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function keyActions(viewer) {
  const press = (name) => viewer.root.querySelector(`button[name="${name}"]`).click();
  const presets = PRESETS.map((_, place) => [place + 1, () => setPreset(viewer, place)]);
  const grey = viewer.source?.values && {
    ...Object.fromEntries(presets),
    i: () => setWindow(viewer, { ...windowOf(viewer), invert: !windowOf(viewer).invert }),
    w: () => viewer.root.querySelector('[name="windowing"]').click(),
  };
  const big = viewer.big && {
    Enter: () => leaveBig(viewer), n: () => press("panel-after"), b: () => press("panel-before"), a: () => press("all"),
  };
  return {
    "+": () => press("zoom-in"), "-": () => press("zoom-out"), 0: viewer.fit, "=": viewer.fit, p: viewer.actual,
    o: () => toggleOriginal(viewer), f: () => press("full-screen"), "?": () => press("help"),
    Enter: () => enlarge(viewer),
    Escape: () => (viewer.big ? leaveBig(viewer) : viewer.parent.activeElement?.blur()),
    ...(viewer.layout.chosen && { PageDown: () => press("picture-after"), PageUp: () => press("picture-before") }),
    ...(viewer.stack?.frames > 1 && { ",": () => turnTo(viewer, viewer.stack.at - 1), ".": () => turnTo(viewer, viewer.stack.at + 1) }),
    m: () => viewer.root.querySelector('[name="measuring"]').click(),
    ...grey, ...big,
  };
}

function toggleOriginal(viewer) {
  const { settings } = viewer;
  if (settings.view !== "original") viewer.lastView = settings.view;
  settings.view = settings.view === "original" ? viewer.lastView ?? "overlay" : "original";
  viewer.repaint();
  viewer.commit();
}
