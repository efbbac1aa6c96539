// The browser's twin of gradcam_core/placement.py: same cell centres, same clamped edges, same unseen pixels.
// A map is [h w] float32; its box is (top, left, bottom, right) in pixels of the original picture, and its cells lie
// `offset` (down, right) beside an even tiling of the box.

const LEVELS = 4095;
const UNSEEN = LEVELS + 1;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function mapOf(panel, picture) {
  const { h, w, data } = panel.grid;
  const [top, left, bottom, right] = panel.box;
  const [down, along] = panel.offset;
  const values = new Float32Array(bytesOf(data).buffer);
  return {
    h, w, values,
    top: top + down, left: left + along, bottom: bottom + down, right: right + along,
    // Drawn values run from 0 to 1; the zero of a signed map is at 0.5.
    drawn: panel.signed ? values.map((value) => (value + 1) / 2) : values,
    peak: panel.peak,
    rows: covered(picture.height, top, bottom),
    columns: covered(picture.width, left, right),
  };
}

// First and one past the last pixel whose centre lies in [start, stop]; without any, the pixel in its middle.
function covered(length, boxStart, boxStop) {
  const [start, stop] = [Math.max(boxStart, 0), Math.min(boxStop, length)];
  if (start >= stop) return [0, 0];
  const [first, last] = [Math.ceil(start - 0.5), Math.floor(stop - 0.5) + 1];
  if (first < last) return [first, Math.min(last, length)];
  const middle = Math.floor((start + stop) / 2);
  return [middle, middle + 1];
}

// Where a position lies between the cell centres: the lower cell, and the share of the next one.
function between(place, cells, start, stop) {
  const position = Math.min(Math.max(((place - start) / (stop - start)) * cells - 0.5, 0), cells - 1);
  const lower = Math.min(Math.floor(position), Math.max(cells - 2, 0));
  return [lower, position - lower];
}

// The value at a pixel of the original picture, as Placement.restore gives it; NaN where unseen.
function valueAt(map, x, y) {
  if (x < map.columns[0] || x >= map.columns[1] || y < map.rows[0] || y >= map.rows[1]) return NaN;
  const [row, down] = between(y + 0.5, map.h, map.top, map.bottom);
  const [column, along] = between(x + 0.5, map.w, map.left, map.right);
  const at = (r, c) => map.values[Math.min(r, map.h - 1) * map.w + Math.min(c, map.w - 1)];
  const upper = at(row, column) * (1 - along) + at(row, column + 1) * along;
  const lower = at(row + 1, column) * (1 - along) + at(row + 1, column + 1) * along;
  return upper * (1 - down) + lower * down;
}

// Interpolation along one axis of the screen; `from` and `to` bound the screen pixels that the model saw.
function axisOf(length, offset, scale, cells, start, stop, [first, last]) {
  const bound = (pixel) => Math.min(Math.max(Math.ceil(pixel * scale + offset - 0.5), 0), length);
  const [from, to] = [bound(first), bound(last)];
  const lower = new Uint16Array(length);
  const share = new Float32Array(length);
  for (let i = from; i < to; i++) {
    [lower[i], share[i]] = between((i + 0.5 - offset) / scale, cells, start, stop);
  }
  return { from, to, lower, share };
}

// Fill `levels` with the map's values as 0..LEVELS at every screen pixel of a frame, UNSEEN elsewhere.
// Each row of the screen uses one blended row of cells.
function rasterise(map, frame, levels) {
  const rows = axisOf(frame.height, frame.top, frame.scale, map.h, map.top, map.bottom, map.rows);
  const columns = axisOf(frame.width, frame.left, frame.scale, map.w, map.left, map.right, map.columns);
  const { lower, share } = columns;
  const line = new Float32Array(map.w + 1);
  levels.fill(UNSEEN);
  for (let row = rows.from; row < rows.to; row++) {
    blendRows(map, rows.lower[row], rows.share[row], line);
    const start = row * frame.width;
    for (let column = columns.from; column < columns.to; column++) {
      const cell = lower[column];
      levels[start + column] = line[cell] + (line[cell + 1] - line[cell]) * share[column] + 0.5;
    }
  }
}

function blendRows(map, row, share, line) {
  const upper = row * map.w;
  const lower = Math.min(row + 1, map.h - 1) * map.w;
  for (let column = 0; column < map.w; column++) {
    line[column] = (map.drawn[upper + column] * (1 - share) + map.drawn[lower + column] * share) * LEVELS;
  }
  line[map.w] = line[map.w - 1];
}
