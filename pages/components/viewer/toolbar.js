// The controls above the pictures and the legend below them.

const percent = (value) => `${Math.round(value * 100)} %`;

function bindToolbar(viewer) {
  const { root, settings } = viewer;
  const field = (name) => root.querySelectorAll(`[name="${name}"]`);
  const choose = (name, value) => { settings[name] = value; viewer.repaint(); viewer.commit(); };
  for (const name of ["view", "scale"]) {
    for (const radio of field(name)) radio.onchange = () => choose(name, radio.value);
  }
  for (const name of ["opacity", "threshold"]) {
    const [range] = field(name);
    range.oninput = () => { settings[name] = Number(range.value); viewer.repaint(); };
    range.onchange = () => viewer.commit();
  }
  field("colormap")[0].onchange = ({ target }) => choose("colormap", target.value);
  bindExtras(viewer, field);
  const presses = {
    "zoom-in": () => viewer.zoom(1.4), "zoom-out": () => viewer.zoom(1 / 1.4), fit: () => viewer.fit(),
    left: () => viewer.move(-1, 0), right: () => viewer.move(1, 0),
    up: () => viewer.move(0, -1), down: () => viewer.move(0, 1),
    help: () => root.querySelector(".help").showModal(), close: () => root.querySelector(".help").close(),
  };
  for (const [name, press] of Object.entries(presses)) field(name)[0].onclick = press;
}

function bindExtras(viewer, field) {
  const extras = viewer.root.querySelector(".extras");
  const [more] = field("more");
  more.onclick = () => {
    extras.hidden = !extras.hidden;
    more.setAttribute("aria-expanded", String(!extras.hidden));
  };
  field("cells")[0].onchange = ({ target }) => { viewer.settings.cells = target.checked; viewer.repaint(); viewer.commit(); };
  field("linked")[0].onchange = ({ target }) => viewer.link(target.checked);
}

// Update every control from the settings.
function showSettings({ root, settings, colours }) {
  const field = (name) => root.querySelector(`[name="${name}"]`);
  for (const name of ["view", "scale"]) root.querySelector(`[name="${name}"][value="${settings[name]}"]`).checked = true;
  const texts = {
    opacity: [settings.opacity, percent(settings.opacity)],
    threshold: [settings.threshold, settings.threshold.toFixed(2)],
  };
  for (const [name, [value, text]] of Object.entries(texts)) {
    const range = field(name);
    range.value = value;
    range.style.setProperty("--filled", `${((value - range.min) / (range.max - range.min)) * 100}%`);
    range.setAttribute("aria-valuetext", text);
    range.nextElementSibling.textContent = text;
  }
  root.dataset.view = settings.view;
  field("opacity").disabled = settings.view !== "overlay";
  field("threshold").disabled = settings.view === "original";
  field("cells").checked = settings.cells;
  field("colormap").value = settings.colormap;
  field("colormap").title = colours[settings.colormap].label;
}

// The list shows a label up to its colon, the tooltip all of it.
function listColours({ root, colours }) {
  const select = root.querySelector(`[name="colormap"]`);
  select.replaceChildren(...Object.entries(colours).map(([name, { label }]) => new Option(label.split(":")[0], name)));
}

// The meaning of colours, cells and hatching, as far as they are shown.
function showLegend(viewer) {
  const { root, panels, colours, settings, picture } = viewer;
  const hot = panels.filter((panel) => panel.heat && !panel.data.fixed);
  const maps = panels.filter((panel) => panel.map);
  const set = (name, text) => { root.querySelector(name).textContent = text; };
  paintColourBar(root.querySelector(".colours"), colours[settings.colormap].table, settings.threshold);
  paintColourBar(root.querySelector(".signed-colours"), viewer.diverging, settings.threshold, true);
  const signed = panels.filter(({ data }) => data.signed).length;
  root.querySelector(".signed-scale").hidden = !signed;
  root.querySelector(".own-scale").hidden = signed > 0 && signed === maps.length;
  set(".meaning", meaningOfOne(hot, settings));
  // Differences have one fixed scale, whatever the scale of the maps beside them.
  set(".signed-meaning", panels.some(({ data }) => data.fixed) ? "1, differences" : "1, for maps with both signs");
  set(".cell", meaningOfCell(maps, picture));
  const veiled = maps.some(({ map }) => isPartlyUnseen(map, picture));
  root.querySelector(".veil").hidden = settings.view === "original" || !veiled;
  root.dataset.maps = maps.length;
  root.classList.toggle("many", panels.length > 1);
  root.classList.toggle("many-maps", hot.length > 1);
  root.classList.toggle("untold", panels.every(({ data }) => !data.subtitle));
}

function meaningOfOne(hot, { scale }) {
  if (hot.length === 0) return "no map with positive evidence";
  const [{ highest }] = hot;
  if (hot.length === 1) return `1 = this map’s own peak (raw ${rawText(highest)})`;
  if (scale === "own") return "1 = each map’s own peak";
  const units = new Set(hot.map(({ data }) => data.unit));
  if (units.size === hot.length) return "1 = each map’s own peak: their raw values have no common unit";
  return units.size === 1 ? `1 = the highest peak of all maps (raw ${rawText(highest)})` : "1 = the highest peak of each method and layer";
}

function meaningOfCell(maps, { spacing }) {
  const sizes = [...new Set(maps.map(({ map }) => cellText(map)))];
  if (sizes.length > 1) return `one map cell = ${sizes[0]} to ${sizes.at(-1)} px`;
  const places = [...new Set(maps.map(({ data }) => data.place).filter(Boolean))];
  const inMm = spacing && sizes.length ? ` (${cellText(maps[0].map, spacing)} mm)` : "";
  return [`one map cell = ${sizes[0] ?? "no"} px${inMm}`, ...(places.length === 1 ? places : [])].join(", ");
}

function cellText({ h, w, top, left, bottom, right }, spacing = 1) {
  const short = (length) => String(Number((length * spacing).toFixed(length * spacing < 10 ? 1 : 0)));
  return `${short((right - left) / w)} × ${short((bottom - top) / h)}`;
}

// How large the picture is shown, and where its pixels end. The hint is hidden after the first zoom.
function showZoom(viewer) {
  const { root, picture, size, source } = viewer;
  const { zoom } = viewOf(viewer);
  const scale = fitScale(picture, size) * zoom;
  const text = Math.abs(zoom - 1) < 1e-9 ? "Fit" : `${zoom.toFixed(1)} ×`;
  root.querySelector(".zoom").textContent = text;
  root.querySelector('[name="fit"]').setAttribute("aria-label", `${text}: show the whole picture`);
  root.querySelector('[name="actual"]').setAttribute("aria-pressed", String(Math.abs(scale - 1) < 1e-6));
  if (zoom > 1) root.querySelector(".hint").hidden = true;
  const ends = zoom > 1 && zoom >= mostZoom(picture, size) - 1e-9;
  const own = source.exact || (picture.pixels && !source.failed);
  const end = own
    ? `The file’s pixels end here: ${MOST_SCALE} screen pixels each`
    : "Only a reduced copy is shown here: there is no more to see";
  root.querySelector(".end").textContent = source.failed && scale * picture.width > source.preview.width
    ? "The file’s own pixels are no longer on the server: an enlarged copy is shown" : ends ? end : "";
}
