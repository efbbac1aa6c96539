// Window and level of a grey picture, in stored values. Only the display changes, not the model's input.

const PRESETS = [
  ["As the model sees it", null],
  ["All stored values", [0, 1]],
  ["Without the outer 1 % at each end", [0.01, 0.99]],
  ["Dark half", [0.01, 0.5]],
  ["Bright half", [0.5, 0.99]],
];

const LONGEST_UNIT = 4; // longer ones stand in a field's title alone
const NARROWEST = 1e-6; // a window of one value parts black from white

// The window in which the picture came: the range that the model gets.
function usualWindow({ range: [black, white], counted }) {
  const more = counted ? 1 : 0;
  return { level: (black + white + more) / 2, width: Math.abs(white - black) + more || 1, invert: false };
}

function windowOf(viewer) {
  return viewer.settings.window ?? usualWindow(viewer.picture);
}

// The curve that stands for the straight line of a window: a named one's, or the usual one's; null where there is none.
function curveOf({ level, width, named }, picture) {
  if (named !== undefined) return picture.named[named]?.[3] ?? null;
  const usual = usualWindow(picture);
  return level === usual.level && width === usual.width ? picture.curve : null;
}

// What turns a stored value into 0 (black) to 1 (white): a curve, or the window.
function shader(window, picture) {
  const curve = curveOf(window, picture);
  const { level, width } = window;
  const { counted } = picture;
  if (curve) {
    const shades = (curve.bytes ??= bytesOf(curve.shades));
    return (value) => shades[Math.min(Math.max(Math.round((value - curve.first) / curve.step), 0), shades.length - 1)] / 255;
  }
  const [centre, wide] = counted ? [level - 0.5, Math.max(width - 1, NARROWEST)] : [level, width];
  return (value) => Math.min(Math.max((value - centre) / wide + 0.5, 0), 1);
}

// RGBA for each level of the values, packed as the little-endian words of an ImageData.
// Low values are white where the file says so, or where it is inverted. A preview is in the usual window already.
function shadesOf({ offset, step, empty, levels, preview }, window, picture) {
  const shades = new Uint32Array(levels.BYTES_PER_ELEMENT === 1 ? 256 : 65536);
  const chosen = window ?? usualWindow(picture);
  const [share, lowIsWhite] = [shader(chosen, picture), picture.range[0] > picture.range[1]];
  const greyOf = (level) => {
    if (preview && !window) return level;
    const shown = share(offset + step * level);
    return Math.round(255 * (chosen.invert !== lowIsWhite ? 1 - shown : shown));
  };
  for (let level = 0; level < shades.length; level++) {
    const grey = level === empty ? 0 : greyOf(level);
    shades[level] = (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0;
  }
  return shades;
}

// What levels [height width] look like; its memory is used again for every window.
function tintedOf(levels, width, height) {
  const canvas = canvasOf(width, height);
  const image = canvas.getContext("2d").createImageData(width, height);
  return { levels, canvas, image, words: new Uint32Array(image.data.buffer), shades: null };
}

// Paint levels through their shades, unless they are painted so already.
function tint(tinted, shades) {
  const { levels, words, image, canvas } = tinted;
  if (tinted.shades === shades) return canvas;
  for (let i = 0; i < words.length; i++) words[i] = shades[levels[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
  tinted.shades = shades;
  return canvas;
}

// The value below which this share of the picture lies.
function valueBelow({ levels, offset, step, empty }, share) {
  const counts = new Uint32Array(levels.BYTES_PER_ELEMENT === 1 ? 256 : 65536);
  for (const level of levels) counts[level] += 1;
  if (empty >= 0) counts[empty] = 0;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const wanted = Math.min(Math.max(share * total, 1), total);
  let [seen, level] = [0, step < 0 ? counts.length : -1];
  while (seen < wanted) seen += counts[(level += step < 0 ? -1 : 1)] ?? wanted;
  return offset + step * level;
}

// The windows that the file and its field name, below those that suit every picture.
function listPresets({ root, picture: { named, unit } }) {
  const presets = root.querySelector('[name="preset"]');
  const options = PRESETS.map(([label], place) => new Option(`${place + 1}  ${label}`, place));
  const text = ([name, level, width, curve]) => withMinus(
    `${name || "Window of the file"}: level ${shortNumber(level)}, window ${shortNumber(width)}${curve ? ", table of greys" : ""}`);
  options.push(...named.map((window, place) => new Option(text(window), PRESETS.length + place)));
  presets.replaceChildren(presets.options[0], ...options);
  for (const [name, label] of [["level", "Level"], ["width", "Window"]]) {
    const field = root.querySelector(`[name="${name}"]`);
    field.ariaLabel = `${label}, in ${unit || "stored values"}`;
    field.title = unit;
    field.previousElementSibling.textContent = unit && unit.length <= LONGEST_UNIT ? `${label} (${unit})` : label;
  }
}

function setPreset(viewer, place) {
  if (!viewer.source?.values) return;
  const { invert } = windowOf(viewer);
  if (place >= PRESETS.length) {
    const named = place - PRESETS.length;
    const [, level, width, curve] = viewer.picture.named[named];
    return setWindow(viewer, curve ? { level, width, invert, named } : { level, width, invert });
  }
  const shares = PRESETS[place][1];
  if (!shares) return setWindow(viewer, { ...usualWindow(viewer.picture), invert });
  const [low, high] = shares.map((share) => valueBelow(viewer.source.values, share));
  setWindow(viewer, { level: (low + high) / 2, width: Math.max(high - low, leastWidth(viewer)), invert });
}

// Whether a window shows the picture as it came. The usual curve has a name, too.
function isUsual(window, picture) {
  const { level, width } = usualWindow(picture);
  const curve = curveOf(window, picture);
  if (curve) return !window.invert && curve.first === picture.curve?.first && curve.shades === picture.curve?.shades;
  return !window.invert && !picture.curve && window.level === level && window.width === width;
}

function leastWidth({ source, picture }) {
  return Math.min(Math.abs(source.values.step), usualWindow(picture).width);
}

function setWindow(viewer, window, final = true) {
  const width = Math.max(window.width, leastWidth(viewer));
  const wanted = { level: window.level, width, invert: Boolean(window.invert) };
  if (window.named !== undefined) wanted.named = window.named;
  viewer.settings.window = isUsual(wanted, viewer.picture) ? null : wanted;
  viewer.rework();
  if (final) viewer.commit();
}

// Sideways changes the width, up and down the level: by the usual width over 400 screen pixels. What is less than one
// step of the stored values is kept for the next movement.
function dragWindow(viewer, right, down) {
  const { level, width, invert } = viewer.drag ?? windowOf(viewer);
  const speed = usualWindow(viewer.picture).width / 400;
  viewer.drag = { level: level + down * speed, width: Math.max(width + right * speed, leastWidth(viewer)), invert };
  const step = viewer.source.values.step === 1 ? 1 : 0;
  const whole = (value) => (step ? Math.round(value) : value);
  setWindow(viewer, { level: whole(viewer.drag.level), width: whole(viewer.drag.width), invert }, false);
}

function bindWindow(viewer) {
  const field = (name) => viewer.root.querySelector(`[name="${name}"]`);
  for (const name of ["level", "width"]) {
    field(name).onchange = ({ target }) => {
      const value = Number(target.value);
      const valid = target.value !== "" && Number.isFinite(value) && (name === "level" || value > 0);
      if (valid) setWindow(viewer, { ...windowOf(viewer), named: undefined, [name]: value });
      else viewer.repaint();
    };
  }
  field("invert").onchange = ({ target }) => setWindow(viewer, { ...windowOf(viewer), invert: target.checked });
  field("windowing").onchange = ({ target }) => { viewer.windowing = target.checked; };
  const presets = field("preset");
  presets.onchange = () => { setPreset(viewer, Number(presets.value)); presets.value = ""; };
  field("give-window").onclick = () => {
    const { level, width } = windowOf(viewer);
    viewer.send.trigger("model_window", { picture: viewer.picture.key, level, width });
  };
  field("take-window").onclick = () => viewer.send.trigger("model_window", { picture: viewer.picture.key });
}

function shortNumber(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
}

function showWindow(viewer) {
  const { root, picture, source, layout } = viewer;
  const field = (name) => root.querySelector(`[name="${name}"]`);
  root.classList.toggle("grey", Boolean(source?.values));
  if (!source?.values) return;
  root.dataset.depth = 8 * source.values.levels.BYTES_PER_ELEMENT;
  const { level, width, invert, named } = windowOf(viewer);
  for (const [name, value] of [["level", level], ["width", width]]) {
    if (viewer.parent.activeElement !== field(name)) field(name).value = shortNumber(value);
  }
  field("invert").checked = invert;
  const usual = usualWindow(picture);
  const asGiven = level === usual.level && width === usual.width;
  field("give-window").hidden = !layout.chosen || asGiven || named !== undefined; // a model gets a straight line
  field("take-window").hidden = !layout.chosen || !picture.window;
  root.querySelector(".given").hidden = !picture.window;
  root.querySelector(".given").textContent = picture.window
    ? withMinus(`The model sees level ${shortNumber(picture.window[0])}, window ${shortNumber(picture.window[1])}`) : "";
}
