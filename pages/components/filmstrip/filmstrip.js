// Entry point: one button a picture. The row is drawn again only when the pictures change, so that it keeps its place.

export default function ({ parentElement, data, setTriggerValue }) {
  const film = parentElement.querySelector(".film");
  const order = JSON.stringify(data.pictures);
  if (film.order !== order) {
    film.order = order;
    film.replaceChildren(...data.pictures.map((picture) => thumbnail(picture, setTriggerValue)));
  }
  for (const button of film.children) {
    const chosen = button.value === data.chosen;
    button.setAttribute("aria-pressed", chosen);
    if (chosen && film.chosen !== data.chosen) button.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  film.chosen = data.chosen;
}

function thumbnail({ key, title, src }, send) {
  const button = document.createElement("button");
  button.type = "button";
  button.value = key;
  button.title = title;
  button.setAttribute("aria-label", title);
  if (src) {
    const image = new Image();
    image.src = src;
    image.alt = "";
    button.append(image);
  }
  button.addEventListener("click", () => send("picked", key));
  return button;
}
