// Shared by the browser components.

async function decodedImage(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}

function pixelRatio() {
  return Math.min(window.devicePixelRatio || 1, 2);
}
