// Shared by the browser components.

async function decodedImage(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}

// A number's text with real minus signs, not hyphens.
const withMinus = (text) => text.replaceAll("-", "−");

function pixelRatio() {
  return Math.min(window.devicePixelRatio || 1, 2);
}
