// The big view: one panel, or all of them, over the whole window. Esc goes back.

function bindBig(viewer) {
  const { root } = viewer;
  const press = (name, act) => { root.querySelector(`[name="${name}"]`).onclick = act; };
  press("big", () => (viewer.big ? leaveBig(viewer) : enlarge(viewer)));
  press("leave", () => leaveBig(viewer));
  press("all", () => showBig(viewer, viewer.big.panel ? null : viewer.panels[0].data.id));
  press("panel-before", () => turnPanels(viewer, -1));
  press("panel-after", () => turnPanels(viewer, 1));
  press("actual", () => viewer.actual());
  press("full-screen", () => { enlarge(viewer); toggleFullScreen(); });
  press("picture-before", () => turnPictures(viewer, -1));
  press("picture-after", () => turnPictures(viewer, 1));
  const dialog = root.querySelector(".big");
  dialog.oncancel = (event) => { event.preventDefault(); leaveBig(viewer); };
  dialog.onclose = () => leaveBig(viewer);
  root.querySelector('[name="full-screen"]').hidden = !document.fullscreenEnabled;
}

// Ask for the picture beside the one that was asked for last: quick presses count even while the page is busy.
function turnPictures(viewer, by) {
  const [place, count] = viewer.layout.chosen;
  viewer.asked = Math.min(Math.max((viewer.asked ?? place) + by, 0), count - 1);
  viewer.send.trigger("turn", viewer.asked);
}

function enlarge(viewer, panel = viewer.active ?? viewer.panels[0]) {
  if (viewer.big || !panel) return;
  const dialog = viewer.root.querySelector(".big");
  viewer.root.style.minHeight = `${viewer.root.offsetHeight}px`; // so that the page below does not move
  dialog.append(viewer.root.querySelector(".whole"));
  dialog.showModal();
  showBig(viewer, panel.data.id);
  viewer.root.querySelector(".panels").focus({ preventScroll: true });
}

// Show one panel by its id, or all of them.
function showBig(viewer, panel) {
  viewer.big = { panel };
  viewer.size = null;
  arrange(viewer);
}

// Another picture or class has other panels: show the one in the same place.
function keepBig({ big, panels }, place) {
  if (panels.some(({ data }) => data.id === big.panel)) return;
  big.panel = panels[Math.min(Math.max(place, 0), panels.length - 1)]?.data.id ?? null;
}

function leaveBig(viewer) {
  if (!viewer.big) return;
  viewer.big = null;
  const dialog = viewer.root.querySelector(".big");
  viewer.root.prepend(dialog.querySelector(".whole"));
  dialog.close();
  viewer.root.style.minHeight = "";
  if (document.fullscreenElement) document.exitFullscreen();
  viewer.size = null;
  arrange(viewer);
  viewer.root.querySelector(".panels").focus({ preventScroll: true });
}

function turnPanels(viewer, by) {
  const place = viewer.panels.findIndex(({ data }) => data.id === viewer.big?.panel);
  const next = viewer.panels[(place + by + viewer.panels.length) % viewer.panels.length];
  if (viewer.big && next) showBig(viewer, next.data.id);
}

// A dialog itself cannot be shown in full screen, but the page below it can.
function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen().catch(() => {});
}

function shownPanels({ panels, big }) {
  const one = big?.panel && panels.filter(({ data }) => data.id === big.panel);
  return one?.length ? one : panels;
}

function showBigState(viewer) {
  const { root, big, panels, layout } = viewer;
  const shown = shownPanels(viewer);
  const one = Boolean(big) && shown.length === 1;
  root.classList.toggle("enlarged", Boolean(big));
  root.classList.toggle("one-up", one);
  root.classList.toggle("chosen", Boolean(layout.chosen));
  for (const panel of panels) panel.element.hidden = !shown.includes(panel);
  const place = panels.indexOf(shown[0]);
  root.querySelector(".which").textContent = one ? `${place + 1} of ${panels.length}` : `all ${panels.length}`;
  root.querySelector('[name="all"]').setAttribute("aria-pressed", String(!one));
}
