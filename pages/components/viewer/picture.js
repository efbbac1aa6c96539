// The picture: a preview at once, then its stored values (if it is grey), then its own pixels where one zooms in.

const MOST_SCALE = 16;

async function sourceOf(picture) {
  const preview = await decoded(picture.src);
  const whole = preview.width === picture.width && preview.height === picture.height;
  const exact = whole && picture.src.startsWith("data:image/png");
  const source = { picture, preview, exact, shown: preview, values: null, tiles: new Map(), failed: false };
  if (picture.grey) source.values = valuesOfPreview(source);
  // Zoom ends where one pixel of what there is has this many screen pixels.
  picture.mostScale = MOST_SCALE * (picture.pixels ? 1 : preview.width / picture.width);
  return source;
}

async function decoded(src) {
  const image = await decodedImage(src);
  const canvas = canvasOf(image.naturalWidth, image.naturalHeight);
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
}

// The preview's 256 greys as stored values: exact where the picture has no more.
function valuesOfPreview({ picture: { range: [black, white], window, pixels }, preview, exact }) {
  const { width, height } = preview;
  const { data } = preview.getContext("2d").getImageData(0, 0, width, height);
  const levels = new Uint8Array(width * height);
  for (let i = 0; i < levels.length; i++) levels[i] = data[4 * i];
  return { levels, width, height, offset: black, step: (white - black) / 255, empty: -1, exact: exact && !window && !pixels };
}

// Fetch the stored values of a grey picture, reduced to the screen's size.
async function fetchValues(viewer, source) {
  if (!source.values || !source.picture.pixels) return;
  const samples = await fetched(`${source.picture.pixels}/whole`).catch(() => null);
  if (viewer.source !== source) return;
  if (!samples) {
    source.failed = true;
    return viewer.repaint();
  }
  const { width, height } = samples.about;
  source.values = { ...samples.about, levels: samples.data, exact: width === source.picture.width && height === source.picture.height };
  viewer.rework();
}

// Samples as the server cuts them: row by row, little endian.
async function fetched(address, signal) {
  const answer = await fetch(new URL(address, location.origin), { signal, cache: "no-store" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  const about = JSON.parse(answer.headers.get("Samples"));
  const buffer = await answer.arrayBuffer();
  return { about, data: about.bytes === 2 ? new Uint16Array(buffer) : new Uint8Array(buffer) };
}

// Show the picture through the window. The shades are computed once for all its parts.
function applyWindow(viewer) {
  const { source, picture } = viewer;
  if (!source.values) return;
  const window = windowOf(viewer);
  const lowIsWhite = picture.range[0] > picture.range[1];
  source.shades = shadesOf(source.values, window, lowIsWhite);
  if (source.shown === source.preview) source.shown = null;
  const { width, height, levels } = source.values;
  if (source.shown?.width !== width || source.shown?.height !== height) source.shown = canvasOf(width, height);
  paintLevels(source.shown, levels, source.shades);
}

// The picture at the screen's resolution, drawn once for all panels that share the view.
// Pixels are smoothed where there are more of them than screen pixels, and a reduced copy until its own show.
function pictureLayer(view, frame, viewer) {
  if (view.drawn === view.version) return view.layer;
  const { picture, source } = viewer;
  if (view.layer.width !== frame.width || view.layer.height !== frame.height) {
    Object.assign(view.layer, { width: frame.width, height: frame.height });
  }
  const context = view.layer.getContext("2d");
  context.clearRect(0, 0, frame.width, frame.height);
  const most = source.shown.width === picture.width ? 1 : 3;
  context.imageSmoothingEnabled = frame.scale * picture.width <= most * source.shown.width;
  context.imageSmoothingQuality = viewer.dragged ? "low" : "high";
  const [width, height] = [picture.width * frame.scale, picture.height * frame.scale];
  context.drawImage(source.shown, frame.left, frame.top, width, height);
  drawTiles(context, view, frame, viewer);
  view.drawn = view.version;
  return view.layer;
}

// The stored value of a grey picture at a pixel, and whether it is exact; null where there is none.
function storedAt(source, x, y) {
  const { values, picture } = source;
  if (!values) return null;
  const tile = source.tiles.get(tileKey(0, Math.floor(x / TILE), Math.floor(y / TILE)));
  const [level, exact] = tile?.levels
    ? [tile.levels[(y % TILE) * tile.width + (x % TILE)], true]
    : [values.levels[Math.floor((y * values.height) / picture.height) * values.width + Math.floor((x * values.width) / picture.width)], values.exact];
  return level === values.empty ? null : { value: values.offset + values.step * level, exact };
}
