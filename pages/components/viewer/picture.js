// The picture: a preview at once, then its stored values (if it is grey), then its own pixels where one zooms in.

const MOST_SCALE = 16;

async function sourceOf(picture) {
  const preview = await decoded(picture.src);
  const whole = preview.width === picture.width && preview.height === picture.height;
  const exact = whole && picture.src.startsWith("data:image/png");
  const source = { picture, preview, exact, values: null, tinted: null, shades: null, tiles: new Map(), failed: false };
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
  return { levels, width, height, offset: black, step: (white - black) / 255, empty: -1, preview: true, exact: exact && !window && !pixels };
}

// Fetch the stored values of a grey picture, reduced to the screen's size.
async function fetchValues(viewer, source) {
  if (!source.values || !source.picture.pixels) return;
  const samples = await fetched(`${source.picture.pixels}/whole`).catch(() => null);
  if (viewer.own !== source) return;
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

// The shades of the window; its parts are painted when they are drawn.
function applyWindow({ source, picture, settings }) {
  if (!source.values) return;
  const { values } = source;
  source.shades = shadesOf(values, settings.window, picture);
  if (source.tinted?.levels !== values.levels) source.tinted = tintedOf(values.levels, values.width, values.height);
}

const baseOf = (source) => (source.tinted ? tint(source.tinted, source.shades) : source.preview);

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
  context.imageSmoothingQuality = viewer.dragged ? "low" : "high";
  const tiles = tilesOf(view, frame, viewer);
  if (!tiles.length || !tiles.every(({ canvas }) => canvas)) drawBase(context, frame, viewer);
  context.imageSmoothingEnabled = frame.scale < 1;
  for (const tile of tiles) if (tile.canvas) drawTile(context, tile, frame, viewer);
  view.drawn = view.version;
  return view.layer;
}

function drawBase(context, frame, { picture, source }) {
  const base = baseOf(source);
  const most = base.width === picture.width ? 1 : 3;
  context.imageSmoothingEnabled = frame.scale * picture.width <= most * base.width;
  context.drawImage(base, frame.left, frame.top, picture.width * frame.scale, picture.height * frame.scale);
}

// The stored value of a grey picture at a pixel, and whether it is exact; null where there is none.
function storedAt(source, x, y) {
  const { values, picture } = source;
  if (!values || (values.preview && picture.curve)) return null;
  const tile = source.tiles.get(tileKey(0, Math.floor(x / TILE), Math.floor(y / TILE)));
  const [level, exact] = tile?.levels
    ? [tile.levels[(y % TILE) * tile.canvas.width + (x % TILE)], true]
    : [values.levels[Math.floor((y * values.height) / picture.height) * values.width + Math.floor((x * values.width) / picture.width)], values.exact];
  return level === values.empty ? null : { value: values.offset + values.step * level, exact };
}
