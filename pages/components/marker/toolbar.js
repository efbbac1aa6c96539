// The tools above the picture, the keys, and the pointer's position.

const TOOL_KEYS = { b: "box", p: "brush", e: "erase" };

function bindToolbar(marker) {
  const { root } = marker;
  for (const radio of root.querySelectorAll(`[name="tool"]`)) radio.onchange = () => marker.choose(radio.value);
  root.querySelector(`[name="size"]`).oninput = ({ target }) => marker.resize(Number(target.value));
  root.querySelector(`[name="undo"]`).onclick = () => marker.undo();
  root.querySelector(`[name="clear"]`).onclick = () => marker.shapes.length && marker.change([]);
}

function bindKeys(marker) {
  marker.root.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    const withControl = (event.ctrlKey || event.metaKey) && !event.shiftKey && key === "z";
    if (event.altKey || ((event.ctrlKey || event.metaKey) && !withControl)) return;
    const act = withControl ? marker.undo : keyActions(marker)[key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}

function keyActions(marker) {
  const step = Math.max(1, Math.round(marker.diameter / 8));
  const actions = {
    u: marker.undo, escape: marker.current && (() => abandon(marker)),
    "[": () => marker.resize(marker.diameter - step), "]": () => marker.resize(marker.diameter + step),
  };
  for (const [key, tool] of Object.entries(TOOL_KEYS)) actions[key] = () => marker.choose(tool);
  return actions;
}

// Update the controls. A button that cannot be pressed keeps the focus (aria-disabled).
function showTools(marker) {
  const { root, tool, diameter, shapes, history } = marker;
  root.querySelector(`[name="tool"][value="${tool}"]`).checked = true;
  const range = root.querySelector(`[name="size"]`);
  range.value = diameter;
  range.disabled = tool === "box";
  range.style.setProperty("--filled", `${((diameter - range.min) / (range.max - range.min)) * 100}%`);
  range.setAttribute("aria-valuetext", `${diameter} pixels of the picture`);
  range.nextElementSibling.textContent = `${diameter} px`;
  const able = (name, yes) => root.querySelector(`[name="${name}"]`).setAttribute("aria-disabled", String(!yes));
  able("undo", shapes.length + history.length > 0);
  able("clear", shapes.length > 0);
  showCount(marker);
}

function showCount({ root, shapes, most }) {
  const count = shapes.filter(({ kind }) => kind !== "erase").length;
  const noun = root.dataset.purpose === "blanking" ? "area" : "mark";
  const words = count === 0 ? "Nothing marked yet" : count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
  root.querySelector(".count").textContent = shapes.length < most ? words : `${words}: no more are taken`;
}

// Show the pointer's position in whole pixels of the picture, and the width of the brush.
function showPointer(marker, event) {
  const { root, parts, picture, frame, size, tool, diameter } = marker;
  marker.pointer = event;
  const place = event && frame ? placeOf(marker, event) : [-1, -1];
  const inside = place[0] >= 0 && place[1] >= 0 && place[0] < picture.width && place[1] < picture.height;
  root.querySelector(".place").textContent = inside ? `x ${Math.floor(place[0])}  y ${Math.floor(place[1])}` : "";
  parts.ring.hidden = !event || !frame || tool === "box";
  if (parts.ring.hidden) return;
  const css = (pixels) => `${pixels / size.ratio}px`;
  const wide = diameter * frame.scale;
  const [left, top] = [frame.left + place[0] * frame.scale - wide / 2, frame.top + place[1] * frame.scale - wide / 2];
  const transform = `translate(${css(left)}, ${css(top)})`;
  Object.assign(parts.ring.style, { width: css(wide), height: css(wide), transform });
}
