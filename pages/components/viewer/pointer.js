// Mouse and keys. The wheel scrolls the page until a picture has been clicked; with Ctrl it always zooms.

function bindMouse(viewer) {
  const area = viewer.root.querySelector(".panels");
  const panelUnder = (event) => viewer.panels.find((panel) => panel.canvas === event.target);
  area.addEventListener("wheel", (event) => onWheel(viewer, panelUnder(event), event), { passive: false });
  area.addEventListener("pointermove", (event) => onMove(viewer, panelUnder(event), event));
  area.addEventListener("pointerleave", () => showPlace(viewer, null));
  area.addEventListener("pointerdown", (event) => onPress(viewer, panelUnder(event), event));
  area.addEventListener("pointerup", () => viewer.root.classList.remove("dragging"));
  area.addEventListener("dblclick", (event) => panelUnder(event) && viewer.fit());
}

// The position under the pointer, in pixels of the picture from its upper left corner.
function placeUnder(viewer, panel, event) {
  const frame = frameOf(panel.view, viewer.picture, viewer.size);
  const box = panel.canvas.getBoundingClientRect();
  const ratio = viewer.size.width / box.width;
  return {
    x: ((event.clientX - box.left) * ratio - frame.left) / frame.scale,
    y: ((event.clientY - box.top) * ratio - frame.top) / frame.scale,
  };
}

function onWheel(viewer, panel, event) {
  if (!panel) return;
  const meant = event.ctrlKey || event.metaKey;
  const clicked = viewer.parent.activeElement === viewer.root.querySelector(".panels");
  const nothingLeft = panel.view.zoom === 1 && event.deltaY > 0;
  if (!meant && (!clicked || nothingLeft)) return;
  event.preventDefault();
  viewer.active = panel;
  const turned = event.deltaMode === 0 ? event.deltaY : event.deltaY * 33;
  const factor = Math.exp(-Math.min(Math.max(turned, -200), 200) * 0.0022);
  viewer.zoom(factor, placeUnder(viewer, panel, event), panel);
}

function onMove(viewer, panel, event) {
  if (!panel) return showPlace(viewer, null);
  viewer.active = panel;
  if (viewer.root.classList.contains("dragging")) {
    const ratio = viewer.size.width / panel.canvas.clientWidth;
    moveBy(panel.view, viewer.picture, viewer.size, -event.movementX * ratio, -event.movementY * ratio);
    viewer.repaint();
  }
  showPlace(viewer, placeUnder(viewer, panel, event));
}

function onPress(viewer, panel, event) {
  if (!panel || event.button !== 0) return;
  viewer.active = panel;
  viewer.root.classList.add("dragging");
  panel.canvas.setPointerCapture(event.pointerId);
}

function showPlace(viewer, place) {
  viewer.place = place;
  for (const panel of viewer.panels) pointAt(panel, place, viewer);
  const inside = viewer.panels.some((panel) => !panel.crosses[0].hidden);
  viewer.root.querySelector(".place").textContent = inside ? `x ${Math.floor(place.x)}  y ${Math.floor(place.y)}` : "";
}

function bindKeys(viewer) {
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  viewer.root.addEventListener("keydown", (event) => {
    const inField = ["INPUT", "SELECT"].includes(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || viewer.root.querySelector("dialog").open) return;
    if (event.target.tagName === "SELECT" || (inField && event.key in arrows)) return;
    const act = event.key in arrows ? () => viewer.move(...arrows[event.key]) : keyActions(viewer)[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}

function keyActions(viewer) {
  const press = (name) => viewer.root.querySelector(`button[name="${name}"]`).click();
  return {
    "+": () => press("zoom-in"), "-": () => press("zoom-out"), 0: viewer.fit, "=": viewer.fit,
    o: () => toggleOriginal(viewer), "?": () => press("help"), Escape: () => viewer.parent.activeElement?.blur(),
  };
}

function toggleOriginal(viewer) {
  const { settings } = viewer;
  if (settings.view !== "original") viewer.lastView = settings.view;
  settings.view = settings.view === "original" ? viewer.lastView ?? "overlay" : "original";
  viewer.repaint();
  viewer.commit();
}
