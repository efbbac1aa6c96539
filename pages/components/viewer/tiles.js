// The file's own pixels, fetched in tiles where the preview has fewer pixels than the screen shows.

const TILE = 512;
const MOST_TILES = 96;
const MOST_LEVEL = 6;

const tileKey = (level, column, row) => `${level}-${column}-${row}`;

// Each pixel of a level is the mean of 2^level by 2^level pixels of the file.
function levelFor(scale) {
  return Math.min(Math.max(Math.floor(Math.log2(1 / scale)), 0), MOST_LEVEL);
}

// The tiles that a view needs; those that are not there yet are fetched.
function tilesOf(view, frame, viewer) {
  const { source, picture } = viewer;
  const shown = source.values ?? source.preview;
  const level = levelFor(frame.scale);
  const span = TILE << level;
  const tiles = [];
  if (picture.pixels && !source.browsed && !shown.exact && frame.scale * picture.width > 1.02 * shown.width) {
    const [columns, rows] = [
      tileRange(frame.left, frame.width, frame.scale * span, picture.width / span),
      tileRange(frame.top, frame.height, frame.scale * span, picture.height / span),
    ];
    for (let row = rows[0]; row < rows[1]; row++) {
      for (let column = columns[0]; column < columns[1]; column++) tiles.push(tileAt(viewer, source, level, column, row));
    }
  }
  view.needed = tiles.map(({ key }) => key);
  return tiles;
}

// The first and one past the last tile on a screen of this length.
function tileRange(start, length, span, most) {
  return [Math.max(Math.floor(-start / span), 0), Math.min(Math.ceil((length - start) / span), Math.ceil(most))];
}

function drawTile(context, tile, frame, { picture, source }) {
  if (tile.levels) tint(tile, source.shades);
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
    Object.assign(tile, about.bytes === 2 ? tintedOf(data, about.width, about.height) : { canvas: painted(data, about) });
  } catch (error) {
    tile.stop = null;
    if (error.name === "AbortError") return;
    source.failed = true;
  }
  if (viewer.source !== source) return;
  for (const panel of viewer.panels) panel.view.version += 1;
  viewer.repaint();
}

function painted(colours, { width, height }) {
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let from = 0, to = 0; from < colours.length; from += 3, to += 4) {
    image.data[to] = colours[from];
    image.data[to + 1] = colours[from + 1];
    image.data[to + 2] = colours[from + 2];
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// After all panels are painted: stop fetching what none of them needs, and say what is shown.
function tidyTiles({ source, panels, root, picture }) {
  const needed = new Set(panels.flatMap(({ view }) => view.needed ?? []));
  for (const [key, tile] of source.tiles) {
    if (!tile.canvas && !needed.has(key)) tile.stop?.abort();
    if ((!tile.canvas || source.tiles.size > MOST_TILES) && !needed.has(key)) source.tiles.delete(key);
  }
  const all = [...needed].every((key) => source.tiles.get(key)?.canvas);
  const own = needed.size > 0 && all;
  const preview = !needed.size && !(source.values?.exact ?? source.exact);
  root.dataset.pixels = source.failed ? "failed" : own || (!needed.size && !preview) ? "own" : preview ? "preview" : "fetching";
}
