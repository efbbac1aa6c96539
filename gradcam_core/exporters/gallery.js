"use strict";
const byId = (id) => document.getElementById(id);
const settings = JSON.parse(byId("settings").textContent);
const NAMES = ["name", "sha256", "label", "probability", "trueLabel", "correct", "trueProbability", "border", "problem", "note", "tile", "raw", "trueRaw", "offset", "signed"];
const rows = JSON.parse(byId("rows").textContent).map((values) => Object.fromEntries(NAMES.map((name, place) => [name, values[place]])));
byId("rows").remove();
const CARD = { width: 300, height: 238 };
let shown = rows, current = -1, opener = null;

function element(kind, className = "", text = "") {
  const node = document.createElement(kind);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

const percent = (share) => (share === null ? "–" : (100 * share).toFixed(1) + "\u202f%");

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

function unpack([height, width, text]) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const values = Float32Array.from({ length: bytes.length / 2 }, (_, place) => half(bytes[2 * place] | (bytes[2 * place + 1] << 8)));
  return { height, width, values };
}

// For each pixel: the cell before it, the next one, and the next one's share. Constant beyond the outermost centres.
function weights(length, cells, offset) {
  return Array.from({ length }, (_, pixel) => {
    const position = Math.min(Math.max(((pixel + 0.5) / length) * cells - offset - 0.5, 0), cells - 1);
    const lower = Math.min(Math.floor(position), Math.max(cells - 2, 0));
    return [lower, Math.min(lower + 1, cells - 1), position - lower];
  });
}

function drawHeat(context, width, height, packed, row) {
  const map = unpack(packed), image = context.getImageData(0, 0, width, height), pixels = image.data;
  const down = weights(height, map.height, row.offset[0]), across = weights(width, map.width, row.offset[1]);
  const table = row.signed ? settings.diverging : settings.inferno, end = row.signed ? settings.signedRamp : settings.ramp;
  const opacity = Number(byId("opacity").value);
  for (let y = 0, place = 0; y < height; y++) {
    const [top, bottom, low] = down[y];
    for (let x = 0; x < width; x++, place += 4) {
      const [left, right, far] = across[x], above = top * map.width, below = bottom * map.width;
      const value = (1 - low) * ((1 - far) * map.values[above + left] + far * map.values[above + right]) + low * ((1 - far) * map.values[below + left] + far * map.values[below + right]);
      const step = Math.round(255 * Math.min(Math.max(row.signed ? (value + 1) / 2 : value, 0), 1));
      const ramp = Math.min(Math.abs(value) / end, 1), share = ramp * ramp * (3 - 2 * ramp) * opacity;
      for (let channel = 0; channel < 3; channel++) pixels[place + channel] = Math.round((1 - share) * pixels[place + channel] + share * table[step][channel]);
    }
  }
  context.putImageData(image, 0, 0);
}

const painted = new Map(); // canvases that are shown, with what draws each of them again
function paint(canvas, row, packed, failed) {
  const image = new Image();
  image.onerror = () => failed("small picture damaged");
  image.onload = () => {
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const draw = () => {
      context.drawImage(image, 0, 0);
      if (packed && packed[2]) drawHeat(context, canvas.width, canvas.height, packed, row);
    };
    draw();
    painted.set(canvas, draw);
    canvas.dataset.drawn = "yes";
  };
  image.src = "data:image/jpeg;base64," + row.tile;
}

function figure(row, packed, label, share) {
  const box = element("span", "map"), canvas = element("canvas");
  canvas.setAttribute("aria-hidden", "true");
  const empty = packed && !packed[2] ? (row.signed ? "no evidence" : "no positive evidence") : "";
  const line = element("span", "line pair"), words = element("span");
  const say = (more) => { words.textContent = [share, empty, more].filter(Boolean).join(" · "); };
  say("");
  if (row.tile) paint(canvas, row, packed, say);
  else say("no small picture");
  line.append(element("span", "", label), words);
  box.append(canvas, line);
  return box;
}

function fill(parent, row) {
  const maps = element("span", "maps");
  const wrong = row.correct === false;
  if (row.raw || row.tile) maps.append(figure(row, row.raw, row.label, percent(row.probability)));
  if (row.trueRaw || wrong) maps.append(figure(row, row.trueRaw, "True: " + row.trueLabel, percent(row.trueProbability)));
  else if (row.tile) maps.append(figure(row, null, row.trueLabel ? "True: " + row.trueLabel : "Unlabelled", ""));
  parent.replaceChildren(maps);
  const state = row.problem || (wrong ? "Wrong" : row.correct ? "Right" : "");
  const border = row.border === null ? "" : percent(row.border) + " of the heat at the border";
  parent.append(element("span", "line name", row.name), element("span", row.problem || wrong ? "line bad" : "line", [state, border].filter(Boolean).join(" · ")));
  if (row.note) parent.append(element("span", "line", row.note));
}

const rank = (row) => (row.problem ? 0 : row.correct === false ? 1 : 2);
const orders = {
  worst: (a, b) => rank(a) - rank(b) || (rank(a) === 1 ? b.probability - a.probability : b.border - a.border),
  confident: (a, b) => (b.probability ?? -1) - (a.probability ?? -1),
  unsure: (a, b) => (a.probability ?? 2) - (b.probability ?? 2),
  border: (a, b) => (b.border ?? -1) - (a.border ?? -1),
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
};
const kinds = {
  wrong: (row) => row.correct === false,
  right: (row) => row.correct === true,
  unlabelled: (row) => !row.problem && row.correct === null,
  problem: (row) => row.problem !== "",
};

// A row without the number stays while the range is the whole of 0 to 100.
function within(share, name) {
  const from = Number(byId(name + "-from").value) / 100, to = Number(byId(name + "-to").value || 100) / 100;
  return share === null ? from <= 0 && to >= 1 : share >= from && share <= to;
}

function apply() {
  const kind = kinds[byId("kind").value], answer = byId("answer").selectedIndex, truth = byId("true").selectedIndex;
  const answerLabel = byId("answer").value, trueLabel = byId("true").value, search = byId("search").value.toLowerCase();
  shown = rows.filter((row) => (!kind || kind(row)) && (!answer || row.label === answerLabel) && (!truth || row.trueLabel === trueLabel)
    && within(row.probability, "probability") && within(row.border, "border") && row.name.toLowerCase().includes(search));
  shown.sort(orders[byId("order").value]);
  const count = (test) => shown.filter(test).length.toLocaleString("en");
  byId("count").textContent = `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} pictures · ${count(kinds.right)} right · ${count(kinds.wrong)} wrong · ${count(kinds.unlabelled)} not compared · ${count(kinds.problem)} not explained`;
  layOut(true);
}

const placed = new Map();
function layOut(again = false) {
  const grid = byId("grid"), columns = Math.max(1, Math.floor((grid.clientWidth + 12) / CARD.width));
  grid.style.height = Math.ceil(shown.length / columns) * CARD.height + "px";
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / CARD.height) - 1) * columns;
  const last = Math.min(shown.length, (Math.floor((top + innerHeight) / CARD.height) + 2) * columns);
  for (const [place, cell] of placed) if (again || place < first || place >= last) { cell.remove(); placed.delete(place); }
  const step = (grid.clientWidth + 12) / columns;
  for (let place = first; place < last; place++) {
    const cell = placed.get(place) ?? newCell(place);
    cell.style.left = (place % columns) * step + "px";
    cell.style.width = step - 12 + "px";
    cell.style.top = Math.floor(place / columns) * CARD.height + "px";
  }
}

function newCell(place) {
  const cell = element("div", "cell"), button = element("button", "card");
  cell.setAttribute("role", "listitem");
  cell.setAttribute("aria-posinset", place + 1);
  cell.setAttribute("aria-setsize", shown.length);
  fill(button, shown[place]);
  button.onclick = () => { opener = button; open(place); };
  cell.append(button);
  byId("grid").append(cell);
  placed.set(place, cell);
  return cell;
}

function open(place) {
  if (place < 0 || place >= shown.length) return;
  current = place;
  fill(byId("large-card"), shown[place]);
  if (!byId("large").open) byId("large").showModal();
}

function options(id, labels) {
  for (const label of [...new Set(labels)].filter(Boolean).sort()) { const option = element("option", "", label); option.value = label; byId(id).append(option); }
}

function heading(text, scope) {
  const cell = element("th", "", text);
  cell.scope = scope;
  return cell;
}

// The button that shows the pictures of one true class with one answer.
function counted(trueLabel, answer, count) {
  const button = element("button", trueLabel === answer ? "" : "wrong", count.toLocaleString("en"));
  button.setAttribute("aria-label", `${count} ${count === 1 ? "picture" : "pictures"} of ${trueLabel}, answered ${answer}`);
  button.onclick = () => {
    byId("filters").reset();
    setTimeout(() => { byId("true").value = trueLabel; byId("answer").value = answer; apply(); });
  };
  return button;
}

// Beyond so many classes a table of all pairs cannot be read: the most frequent mistakes are listed instead.
const MOST_CLASSES = 40, MOST_PAIRS = 200;
function confusion() {
  const trueLabels = [...new Set(settings.confusion.map((item) => item[0]))].sort(), answers = [...new Set(settings.confusion.map((item) => item[1]))].sort();
  if (!settings.confusion.length) return;
  byId("confusion").hidden = false;
  const table = element("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  byId("table").append(table);
  if (Math.max(trueLabels.length, answers.length) > MOST_CLASSES) {
    head.append(...["True class", "Answer", "Pictures"].map((text) => heading(text, "col")));
    const mistakes = settings.confusion.filter(([trueLabel, answer]) => trueLabel !== answer).sort((a, b) => b[2] - a[2]);
    for (const [trueLabel, answer, count] of mistakes.slice(0, MOST_PAIRS)) {
      const line = body.insertRow();
      line.append(heading(trueLabel, "row"), element("td", "", answer));
      line.insertCell().append(counted(trueLabel, answer, count));
    }
    return;
  }
  const counts = new Map(settings.confusion.map(([trueLabel, answer, count]) => [JSON.stringify([trueLabel, answer]), count]));
  head.append(element("td", "quiet", "True class ↓ Answer →"), ...answers.map((answer) => heading(answer, "col")));
  for (const trueLabel of trueLabels) {
    const line = body.insertRow();
    line.append(heading(trueLabel, "row"));
    for (const answer of answers) {
      const cell = line.insertCell(), count = counts.get(JSON.stringify([trueLabel, answer]));
      if (count) cell.append(counted(trueLabel, answer, count));
    }
  }
}

options("answer", [...rows.map((row) => row.label), ...settings.confusion.map((item) => item[1])]);
options("true", [...rows.map((row) => row.trueLabel), ...settings.confusion.map((item) => item[0])]);
confusion();
function repaint() {
  for (const [canvas, draw] of painted) if (canvas.isConnected) draw(); else painted.delete(canvas);
}

byId("filters").addEventListener("input", (event) => (event.target.id === "opacity" ? repaint() : apply()));
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => setTimeout(apply));
byId("previous").onclick = () => open(current - 1);
byId("next").onclick = () => open(current + 1);
byId("close").onclick = () => byId("large").close();
byId("large").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") open(current - 1);
  if (event.key === "ArrowRight") open(current + 1);
});
byId("large").addEventListener("close", () => opener?.focus());
addEventListener("scroll", () => requestAnimationFrame(() => layOut()), { passive: true });
addEventListener("resize", () => layOut());
apply();
