"use strict";
const epochs = JSON.parse(document.getElementById("epochs").textContent);
const strip = document.getElementById("strip");
const percent = (share) => (share === null ? "–" : (100 * share).toFixed(1) + "\u202f%");

function element(kind, text = "", className = "") {
  const node = document.createElement(kind);
  if (text) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function heading(text, scope) {
  const cell = element("th", text);
  cell.scope = scope;
  return cell;
}

function fill(cell, scene, what) {
  const isTrue = what === "true" && scene.truth;
  const image = element("img"), wrong = scene.truth && scene.answer !== scene.truth;
  image.src = "data:image/jpeg;base64," + (isTrue ? scene.true_jpeg : scene.answer_jpeg);
  image.alt = "Heatmap of " + (isTrue ? scene.truth : scene.answer);
  const share = isTrue ? scene.true_probability : scene.answer_probability;
  const bar = element("div", "", "bar"), level = element("i");
  level.style.width = 100 * (share ?? 0) + "%";
  bar.append(level);
  cell.append(image, bar, element("div", percent(share)), element("div", scene.answer, wrong ? "wrong" : "quiet"));
}

function draw(what) {
  const head = element("thead"), line = element("tr"), body = element("tbody");
  line.append(heading("Picture", "col"), ...epochs.map((each) => heading("Epoch " + each.epoch, "col")));
  head.append(line);
  const rows = Math.max(...epochs.map((each) => each.scenes.length));
  for (let place = 0; place < rows; place++) {
    const row = element("tr"), scene = epochs.map((each) => each.scenes[place]).find(Boolean);
    const name = heading(scene.picture || "Picture " + (place + 1), "row");
    if (scene.truth) name.append(element("span", "true: " + scene.truth));
    row.append(name);
    for (const each of epochs) {
      const cell = element("td");
      if (each.scenes[place]) fill(cell, each.scenes[place], what);
      row.append(cell);
    }
    body.append(row);
  }
  strip.replaceChildren(head, body);
}

for (const choice of document.querySelectorAll("input[name=what]")) choice.addEventListener("change", () => draw(choice.value));
draw("true");
