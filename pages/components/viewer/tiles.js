// The file's own pixels, fetched in tiles where the preview has fewer pixels than the screen shows.

const TILE = 512;
const MOST_TILES = 96;
const MOST_LEVEL = 6;

const tileKey = (level, column, row) => `${level}-${column}-${row}`;

// Each pixel of a level is the mean of 2^level by 2^level pixels of the file.
function levelFor(scale) {
  return Math.min(Math.max(Math.floor(Math.log2(1 / scale)), 0), MOST_LEVEL);
}

// Draw the tiles that there are and fetch the others; tell the view which ones it needs.
function drawTiles(context, view, frame, viewer) {
  const { source, picture } = viewer;
  const shown = source.values ?? source.preview;
  view.needed = new Set();
  if (!picture.pixels || shown.exact || frame.scale * picture.width <= 1.02 * shown.width) return;
  const level = levelFor(frame.scale);
  const span = TILE << level;
  const range = (start, length, most) => [
    Math.max(Math.floor(-start / frame.scale / span), 0),
    Math.min(Math.ceil((length - start) / frame.scale / span), Math.ceil(most / span)),
  ];
  const [columns, rows] = [range(frame.left, frame.width, picture.width), range(frame.top, frame.height, picture.height)];
  context.imageSmoothingEnabled = frame.scale < 1;
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let column = columns[0]; column < columns[1]; column++) {
      const tile = tileAt(viewer, source, level, column, row);
      view.needed.add(tile.key);
      if (tile.canvas) drawTile(context, tile, frame, viewer);
    }
  }
}

function drawTile(context, tile, frame, { picture, source }) {
  if (tile.levels && tile.shades !== source.shades) {
    paintLevels(tile.canvas, tile.levels, source.shades);
    tile.shades = source.shades;
  }
  const span = TILE << tile.level;
  const x = (pixel) => Math.round(frame.left + Math.min(pixel, picture.width) * frame.scale);
  const y = (pixel) => Math.round(frame.top + Math.min(pixel, picture.height) * frame.scale);
  const [left, top] = [x(tile.column * span), y(tile.row * span)];
  context.drawImage(tile.canvas, left, top, x((tile.column + 1) * span) - left, y((tile.row + 1) * span) - top);
}

// The tile, as far as it is there; the ones used longest ago are dropped.
function tileAt(viewer, source, level, column, row) {
  const key = tileKey(level, column, row);
  const tile = source.tiles.get(key) ?? { key, level, column, row, canvas: null };
  source.tiles.delete(key);
  source.tiles.set(key, tile);
  if (!tile.canvas && !tile.stop && !source.failed) fetchTile(viewer, source, tile);
  return tile;
}

async function fetchTile(viewer, source, tile) {
  tile.stop = new AbortController();
  try {
    const { about, data } = await fetched(`${source.picture.pixels}/${tile.key}`, tile.stop.signal);
    const { width, height } = about;
    const canvas = canvasOf(width, height);
    if (about.bytes === 2) tile.levels = data;
    else paintColours(canvas, data);
    Object.assign(tile, { canvas, width, height });
  } catch (error) {
    tile.stop = null;
    if (error.name === "AbortError") return;
    source.failed = true;
  }
  if (viewer.source !== source) return;
  for (const panel of viewer.panels) panel.view.version += 1;
  viewer.repaint();
}

function paintColours(canvas, colours) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let from = 0, to = 0; from < colours.length; from += 3, to += 4) {
    image.data[to] = colours[from];
    image.data[to + 1] = colours[from + 1];
    image.data[to + 2] = colours[from + 2];
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// After all panels are painted: stop fetching what none of them needs, and say what is shown.
function tidyTiles({ source, panels, root, picture }) {
  const needed = new Set(panels.flatMap(({ view }) => [...(view.needed ?? [])]));
  for (const [key, tile] of source.tiles) {
    if (!tile.canvas && !needed.has(key)) tile.stop?.abort();
    if ((!tile.canvas || source.tiles.size > MOST_TILES) && !needed.has(key)) source.tiles.delete(key);
  }
  const all = [...needed].every((key) => source.tiles.get(key)?.canvas);
  const own = needed.size > 0 && all;
  const preview = !needed.size && !(source.values?.exact ?? source.exact);
  root.dataset.pixels = source.failed ? "failed" : own || (!needed.size && !preview) ? "own" : preview ? "preview" : "fetching";
}
