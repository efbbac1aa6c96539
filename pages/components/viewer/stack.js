// The frames of one picture, shown from memory while one scrolls. A heatmap belongs to the frame that was explained:
// over the others it is hidden. Where one rests, that frame is explained.

const EXPLAIN_AFTER_MS = 700;
const FETCHED_AT_ONCE = 3;
const NOTCH = 90, LARGE_NOTCH = 120; // what mouse wheels report at once
const MOST_STACK_BYTES = 4e8;

function bindStack(viewer) {
  const slider = viewer.root.querySelector('[name="frame"]');
  slider.oninput = () => turnTo(viewer, Number(slider.value) - 1);
}

// Another frame of the same file keeps what was fetched of it. The view follows a frame that was chosen elsewhere; it stays
// where it is while the frame of an earlier rest is explained, or the same one again.
function takeStack(viewer) {
  const { picture, stack } = viewer;
  const { frame, file } = picture;
  const frames = viewer.layout.chosen ? picture.frames : 1; // elsewhere no other frame can be chosen
  const address = frames > 1 ? picture.stack : "";
  viewer.root.classList.toggle("stacked", frames > 1);
  clearTimeout(stack?.resting);
  const kept = stack?.file === file ? stack : { file, parts: new Map(), asked: new Set(), rests: new Set(), bytes: 0 };
  const stays = kept.explained === frame || kept.rests.has(frame);
  kept.rests.delete(frame);
  const at = stays ? kept.at : frame;
  viewer.stack = Object.assign(kept, { address, frames, at, explained: frame, fetching: kept.fetching ?? 0 });
  if (at !== frame) rest(viewer);
  const slider = viewer.root.querySelector('[name="frame"]');
  slider.max = frames;
  if (address) fetchAround(viewer);
  showFrame(viewer);
}

const atExplained = ({ stack, picture }) => !stack || stack.frames === 1 || stack.at === picture.frame;

function turnTo(viewer, frame) {
  const { stack, picture } = viewer;
  const wanted = Math.min(Math.max(frame, 0), stack.frames - 1);
  if (wanted === stack.at) return;
  stack.at = wanted;
  clearTimeout(stack.resting);
  if (wanted !== picture.frame) rest(viewer);
  fetchAround(viewer);
  showFrame(viewer);
}

// The wheel: each notch is a frame, whatever the mouse counts for it; finer movements add up.
function scrollStack(viewer, turned) {
  const whole = Math.abs(turned) >= NOTCH;
  const notches = Math.sign(turned) * Math.max(1, Math.round(Math.abs(turned) / LARGE_NOTCH));
  const steps = whole ? notches : Math.trunc((viewer.turned + turned) / NOTCH);
  viewer.turned = whole ? 0 : viewer.turned + turned - steps * NOTCH;
  if (steps) turnTo(viewer, viewer.stack.at + steps);
}

// Explain the frame if one stays there for a while.
function rest(viewer) {
  const { stack } = viewer;
  stack.resting = setTimeout(() => {
    stack.rests.add(stack.at);
    viewer.send.trigger("frame", { picture: viewer.picture.key, frame: stack.at });
  }, EXPLAIN_AFTER_MS);
}

// Show the frame if it is there; the former one stays until then, and the words say which frame it is.
function showFrame(viewer) {
  const { stack, picture, root } = viewer;
  const part = stack.at === picture.frame ? viewer.own : stack.parts.get(stack.at);
  if (part) {
    viewer.source = part;
    viewer.rework();
  }
  root.classList.toggle("browsing", !atExplained(viewer));
  root.querySelector('[name="frame"]').value = stack.at + 1;
  root.querySelector(".frame output").textContent = `${stack.at + 1} of ${stack.frames}`;
  for (const panel of viewer.panels) wordFrame(panel, viewer);
}

function wordFrame({ map, heat, words, data }, viewer) {
  if (!map) return;
  const there = atExplained(viewer);
  words.textContent = there ? withoutHeat(data) : `Not explained yet: the answers are those of frame ${viewer.picture.frame + 1}.`;
  words.hidden = there && heat;
}

// Fetch the frames from here outwards, a few at a time.
async function fetchAround(viewer) {
  const { stack, picture } = viewer;
  while (stack.fetching < FETCHED_AT_ONCE) {
    const next = nearest(stack);
    if (next === null) return;
    stack.asked.add(next);
    stack.fetching += 1;
    fetched(`${stack.address}/frame-${next}`)
      .then((samples) => keepFrame(viewer, stack, picture, next, samples))
      .catch(() => null)
      .finally(() => {
        stack.fetching -= 1;
        if (viewer.stack?.file === stack.file) fetchAround(viewer);
      });
  }
}

function nearest({ at, frames, asked, bytes }) {
  if (bytes > MOST_STACK_BYTES) return null;
  for (let distance = 0; distance < frames; distance++) {
    for (const frame of [at + distance, at - distance]) {
      if (frame >= 0 && frame < frames && !asked.has(frame)) return frame;
    }
  }
  return null;
}

function keepFrame(viewer, stack, picture, frame, { about, data }) {
  const { width, height, channels } = about;
  const source = { picture, exact: false, tiles: new Map(), failed: false, browsed: true, values: null, tinted: null, shades: null };
  if (channels === 1) {
    source.values = { ...about, levels: data, exact: width === picture.width && height === picture.height };
  } else source.preview = colourCanvas(data, width, height);
  stack.parts.set(frame, source);
  stack.bytes += data.byteLength;
  if (viewer.stack.file === stack.file && viewer.stack.at === frame) showFrame(viewer);
}

function colourCanvas(data, width, height) {
  const canvas = canvasOf(width, height);
  const image = canvas.getContext("2d").createImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    image.data.set([data[3 * pixel], data[3 * pixel + 1], data[3 * pixel + 2], 255], 4 * pixel);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
