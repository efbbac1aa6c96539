// One panel: its words, and its picture painted in layers (picture, heat, veil, cell outlines).

const HATCH = 7;

// `comparable`: raw values mean the same in all panels. Those of different methods or layers do not, and are not shown.
function panelOf(data, viewer, comparable) {
  const element = viewer.root.querySelector("template").content.firstElementChild.cloneNode(true);
  const part = (name) => element.querySelector(`.${name}`);
  const panel = {
    data, element,
    canvas: element.querySelector("canvas"),
    value: part("value"),
    words: part("words"),
    crosses: [part("across"), part("down")],
    map: data.kind === "picture" ? null : mapOf(data, viewer.picture),
    heat: data.kind !== "picture" && data.state === "ok",
    comparable,
    view: viewer.view,
    levels: null,
    rasterised: null,
  };
  panel.canvas.getContext("2d", { willReadFrequently: true });
  nameOf(panel, part);
  if (viewer.layout.selectable) makeSelectable(panel, part("title"), viewer);
  part("enlarge").onclick = () => (viewer.big ? leaveBig(viewer) : enlarge(viewer, panel));
  part("enlarge").setAttribute("aria-label", `Enlarge ${data.title}`);
  return panel;
}

// Labels come from outside (checkpoints): set them as text only.
function nameOf({ data, map, heat, canvas, comparable }, part) {
  part("title").textContent = data.title;
  part("title").title = data.title;
  part("subtitle").textContent = data.subtitle ?? "";
  part("subtitle").title = data.subtitle ?? "";
  const known = typeof data.probability === "number";
  const percent = known ? percentText(data.probability) : "";
  part("probability").textContent = percent;
  part("bar").firstElementChild.style.width = known ? `${data.probability * 100}%` : "0";
  part("bar").classList.toggle("blank", !known);
  part("peak").textContent = heat && !data.fused && comparable ? `peak evidence ${rawText(data.peak)}` : "";
  part("peak").title = data.signed
    ? "The map's largest raw value of either sign: what 1.00 and −1.00 stand for on its own scale"
    : "The map's largest raw value: what 1.00 stands for on its own scale";
  part("words").hidden = !map || heat;
  part("words").textContent = withoutHeat(data);
  part("note").hidden = !data.note;
  part("note").textContent = data.note ?? "";
  const words = [data.title, ...(data.marks ?? []).map(({ label }) => label)].join("; ");
  canvas.setAttribute("aria-label", map ? `Heatmap for ${data.title}${known ? `, ${percent}` : ""}` : words);
}

function withoutHeat({ state, signed, about, title }) {
  if (state === "evidence in the padding only") {
    return `The evidence for ‹${about ?? title}› lies in the padding only, outside the picture.`;
  }
  return `Nothing in this picture ${signed ? "moves" : "speaks for"} ‹${about ?? title}› here.`;
}

function makeSelectable(panel, title, viewer) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "title";
  button.textContent = panel.data.title;
  button.title = panel.data.title;
  button.onclick = () => viewer.send.trigger("selected", panel.data.id);
  title.replaceWith(button);
}

function percentText(share) {
  return share > 0 && share < 0.0005 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`;
}

function rawText(raw) {
  if (raw === 0) return "0";
  const size = Math.abs(raw);
  return withMinus(size >= 1e-3 && size < 1e5 ? String(Number(raw.toPrecision(3))) : raw.toExponential(2));
}

function paintPanel(panel, viewer) {
  const context = panel.canvas.getContext("2d");
  const frame = frameOf(panel.view, viewer.picture, viewer.size);
  paintLayers(context, panel, frame, viewer);
  paintLengths(context, frame, viewer);
}

function paintLayers(context, panel, frame, viewer) {
  const { settings, picture, size } = viewer;
  const explained = atExplained(viewer);
  const shown = panel.map && explained ? settings.view : "original";
  context.clearRect(0, 0, size.width, size.height);
  if (shown !== "heatmap") context.drawImage(pictureLayer(panel.view, frame, viewer), 0, 0);
  if (!explained) return;
  if (!panel.map) outlineTarget(context, panel.data.outlines ?? [], frame, size.ratio);
  if (shown === "original") return paintMarks(panel, frame, viewer);
  if (panel.heat) context.drawImage(heatLayer(panel, frame, viewer), 0, 0);
  if (isPartlyUnseen(panel.map, picture)) paintVeil(context, panel.map, frame, viewer);
  if (settings.cells) outlineCells(context, panel.map, frame, viewer);
  outlineTarget(context, panel.data.outlines ?? [], frame, size.ratio);
}

// The object's box or the region that the heatmap is about, white on a dark edge.
function outlineTarget(context, polygons, frame, ratio) {
  const lines = new Path2D();
  for (const polygon of polygons) {
    polygon.forEach(([x, y], place) => {
      lines[place ? "lineTo" : "moveTo"](frame.left + x * frame.scale, frame.top + y * frame.scale);
    });
    lines.closePath();
  }
  for (const [width, colour] of [[4, "rgb(0 0 0 / 70%)"], [1.5, "white"]]) {
    context.lineWidth = width * ratio;
    context.strokeStyle = colour;
    context.stroke(lines);
  }
}

function heatLayer(panel, frame, { colours, diverging, settings, scratch }) {
  const where = `${frame.left} ${frame.top} ${frame.scale} ${frame.width} ${frame.height}`;
  if (panel.rasterised !== where) {
    const pixels = frame.width * frame.height;
    if (panel.levels?.length !== pixels) panel.levels = new Uint16Array(pixels);
    rasterise(panel.map, frame, panel.levels);
    panel.rasterised = where;
  }
  const factor = settings.scale === "shared" ? panel.map.peak / panel.highest : 1;
  const { signed, fixed } = panel.data;
  const table = signed ? diverging : colours[settings.colormap].table;
  // A difference covers as exported ones do, so that a small one looks small.
  const palette = paletteOf(table, settings, factor, signed, fixed ? RAMP_END : undefined);
  const { levels } = panel;
  const { words } = scratch;
  for (let i = 0; i < words.length; i++) words[i] = palette[levels[i]];
  scratch.canvas.getContext("2d").putImageData(scratch.image, 0, 0);
  return scratch.canvas;
}

function scratchOf({ width, height }) {
  const canvas = canvasOf(width, height);
  const image = canvas.getContext("2d").createImageData(width, height);
  return { canvas, image, words: new Uint32Array(image.data.buffer) };
}

function isPartlyUnseen(map, picture) {
  const [top, bottom] = map.rows;
  const [left, right] = map.columns;
  return top > 0 || left > 0 || bottom < picture.height || right < picture.width;
}

// Dim and hatch where the model did not look: it is unknown there, not cold.
function paintVeil(context, map, frame, { picture, settings, size }) {
  const x = (pixel) => Math.round(frame.left + pixel * frame.scale);
  const y = (pixel) => Math.round(frame.top + pixel * frame.scale);
  const [[top, bottom], [left, right]] = [map.rows, map.columns];
  const area = new Path2D();
  area.rect(x(0), y(0), x(picture.width) - x(0), y(picture.height) - y(0));
  area.rect(x(left), y(top), x(right) - x(left), y(bottom) - y(top));
  const ground = settings.view === "heatmap" ? "rgb(51 51 51)" : "rgb(0 0 0 / 60%)";
  for (const paint of [ground, hatching(context, size.ratio)]) {
    context.fillStyle = paint;
    context.fill(area, "evenodd");
  }
}

function hatching(context, ratio) {
  const step = Math.round(HATCH * ratio);
  const tile = canvasOf(step, step);
  const brush = tile.getContext("2d");
  brush.strokeStyle = "rgb(255 255 255 / 24%)";
  brush.lineWidth = ratio;
  for (const shift of [-step, 0, step]) {
    brush.moveTo(shift - 1, step + 1);
    brush.lineTo(shift + step + 1, -1);
  }
  brush.stroke();
  return context.createPattern(tile, "repeat");
}

function outlineCells(context, map, frame, { picture }) {
  const x = (pixel) => Math.round(frame.left + pixel * frame.scale) + 0.5;
  const y = (pixel) => Math.round(frame.top + pixel * frame.scale) + 0.5;
  context.save();
  context.beginPath();
  context.rect(frame.left, frame.top, picture.width * frame.scale, picture.height * frame.scale);
  context.clip();
  context.beginPath();
  for (let column = 0; column <= map.w; column++) {
    const across = x(map.left + ((map.right - map.left) * column) / map.w);
    context.moveTo(across, y(map.top));
    context.lineTo(across, y(map.bottom));
  }
  for (let row = 0; row <= map.h; row++) {
    const down = y(map.top + ((map.bottom - map.top) * row) / map.h);
    context.moveTo(x(map.left), down);
    context.lineTo(x(map.right), down);
  }
  context.setLineDash([2, 3]);
  context.strokeStyle = "rgb(255 255 255 / 65%)";
  context.stroke();
  context.restore();
}

// Show the crosshair and value of every panel at one position, or hide them.
function pointAt(panel, place, viewer) {
  const { picture, size, settings } = viewer;
  const inside = place && place.x >= 0 && place.y >= 0 && place.x < picture.width && place.y < picture.height;
  const [across, down] = panel.crosses;
  across.hidden = down.hidden = !inside;
  panel.value.textContent = inside && atExplained(viewer) ? readout(panel, place, settings) : "";
  if (!inside) return;
  const frame = frameOf(panel.view, picture, size);
  const [left, top, right, bottom] = shownPart(frame, picture);
  put(down, size.ratio, frame.left + place.x * frame.scale, top, null, bottom - top);
  put(across, size.ratio, left, frame.top + place.y * frame.scale, right - left, null);
}

// Position an element in canvas pixels; a width or height of null is left as it is.
function put(element, ratio, left, top, width, height) {
  const css = (length) => `${Math.round(length / ratio)}px`;
  element.style.transform = `translate(${css(left)}, ${css(top)})`;
  if (width !== null) element.style.width = css(width);
  if (height !== null) element.style.height = css(height);
}

function readout({ map, heat, data, highest, comparable }, place, settings) {
  if (!map) return "";
  const value = valueAt(map, Math.floor(place.x), Math.floor(place.y));
  if (Number.isNaN(value)) return "not seen";
  if (!heat) return "no positive evidence";
  const factor = settings.scale === "shared" ? data.peak / highest : 1;
  const shown = withMinus((value * factor).toFixed(3));
  if (!comparable) return shown;
  return `${shown} · raw ${data.signed || value > 0 ? rawText(value * data.peak) : "≤ 0"}`;
}
