// Values to colours, by the formula in __init__.py, which exported pictures follow too.

const RAMP_END = 0.5;
const SIGNED_RAMP_END = 0.2;

// How strongly a value covers the picture: not at 0, fully from RAMP_END on.
function ramp(value, end = RAMP_END) {
  const x = Math.min(value / end, 1);
  return x * x * (3 - 2 * x);
}

// RGBA for each level of rasterise(), packed as the little-endian words of an ImageData.
// `factor` brings a map to the shared scale: its peak over the highest peak.
// The levels of a signed map run from -1 to 1, and the value's size decides how it covers: fully from `end` on.
function paletteOf(table, settings, factor, signed, end = signed ? SIGNED_RAMP_END : RAMP_END) {
  const palette = new Uint32Array(UNSEEN + 1);
  for (let level = 0; level <= LEVELS; level++) {
    const share = level / LEVELS;
    const value = signed ? Math.min(Math.max((2 * share - 1) * factor, -1), 1) : Math.min(share * factor, 1);
    if (Math.abs(value) < settings.threshold) continue;
    const alpha = settings.view === "heatmap" ? 1 : settings.opacity * ramp(Math.abs(value), end);
    const entry = 3 * Math.round((signed ? (value + 1) / 2 : value) * 255);
    const colour = (table[entry + 2] << 16) | (table[entry + 1] << 8) | table[entry];
    palette[level] = ((Math.round(alpha * 255) << 24) | colour) >>> 0;
  }
  return palette;
}

function paintColourBar(canvas, table, threshold, signed = false) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(256, 1);
  for (let entry = 0; entry < 256; entry++) {
    image.data.set(table.subarray(3 * entry, 3 * entry + 3), 4 * entry);
    const size = signed ? Math.abs((2 * entry) / 255 - 1) : entry / 255;
    image.data[4 * entry + 3] = size < threshold ? 0 : 255;
  }
  context.putImageData(image, 0, 0);
}

// Kept in main memory: these canvases are read and written pixel by pixel.
function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d", { willReadFrequently: true });
  return canvas;
}
