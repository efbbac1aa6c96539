// Keys and the bar of the presenter's view. One listener on the window comes before all others on the page.

const STAGE = ".st-key-stage";
const MAIN = '[data-testid="stMain"]';
const NO_TEXT = ["button", "checkbox", "file", "radio", "reset", "submit"];
const RESTORED_WITHIN_MS = 3000;
const bars = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  if (!bars.has(parentElement)) bars.set(parentElement, barIn(parentElement, data));
  const bar = bars.get(parentElement);
  bar.send = setTriggerValue;
  receive(bar, data);
  return () => {
    bar.listening.abort();
    bars.delete(parentElement);
  };
}

function barIn(parent, data) {
  const bar = {
    root: parent.querySelector(".keys"), data: { ...data, presented: false }, step: data.step, turn: data.turn,
    tabbed: false, focused: null, scrolled: 0, listening: new AbortController(),
  };
  const listen = (name, act) => window.addEventListener(name, act, { capture: true, signal: bar.listening.signal });
  listen("keydown", (event) => onKey(bar, event));
  listen("keyup", (event) => { if (bar.taken === event.key) { keep(event); bar.taken = null; } });
  listen("pointerdown", () => { bar.tabbed = false; });
  listen("focusin", ({ target }) => { if (!document.querySelector(STAGE)) bar.focused = target; });
  listen("scroll", ({ target }) => {
    if (target.matches?.(MAIN) && !document.querySelector(STAGE)) bar.scrolled = target.scrollTop;
  });
  const press = {
    back: () => move(bar, bar.step - 1), next: () => move(bar, bar.step + 1), screen: toggleFullScreen,
    leave: () => leave(bar),
  };
  for (const [name, act] of Object.entries(press)) bar.root.querySelector(`[name="${name}"]`).onclick = act;
  return bar;
}

// Apply what Python sent. A step from before the last key is not taken: it is on its way to the wanted one.
function receive(bar, data) {
  const former = bar.data;
  bar.data = data;
  if (data.turn === bar.turn) bar.step = data.step;
  if (data.step !== former.step) toTop();
  if (data.presented && !former.presented) document.activeElement?.blur();
  if (!data.presented && former.presented) restore(bar);
  show(bar);
}

function show({ root, data, step }) {
  root.hidden = !data.presented;
  root.querySelector(".words").textContent = data.words;
  root.querySelector(".place").textContent = `${step} of ${data.titles.length}`;
  root.querySelector('[name="back"]').disabled = step === 1;
  root.querySelector('[name="next"]').disabled = step === data.titles.length;
}

function move(bar, to) {
  const step = Math.min(Math.max(to, 1), bar.data.titles.length);
  if (step === bar.step) return;
  bar.step = step;
  bar.turn += 1;
  bar.send("move", { to: step, turn: bar.turn });
  show(bar);
}

function leave(bar) {
  if (document.fullscreenElement) document.exitFullscreen();
  bar.turn += 1;
  bar.send("leave", bar.turn);
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}

function onKey(bar, event) {
  if (event.key === "Tab") bar.tabbed = true;
  const act = actionOf(bar, event);
  if (!act || isElsewhere(bar, event)) return;
  keep(event);
  bar.taken = event.key;
  if (!bar.tabbed) document.activeElement?.blur();
  if (!event.repeat) act();
}

// Before anything else on the page reacts to it: buttons are pressed by the space bar, radio groups move by arrows.
function keep(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

function actionOf(bar, { key, ctrlKey, metaKey, altKey, shiftKey, isComposing }) {
  if (ctrlKey || metaKey || altKey || isComposing) return null;
  const [back, next] = [() => move(bar, bar.step - 1), () => move(bar, bar.step + 1)];
  if (shiftKey) return key === " " && bar.data.presented ? back : null;
  const anywhere = { ArrowLeft: back, ArrowRight: next };
  const presented = {
    ...anywhere, ArrowUp: back, ArrowDown: next, PageUp: back, PageDown: next, " ": next,
    Home: () => move(bar, 1), End: () => move(bar, bar.data.titles.length),
    Escape: () => leave(bar), f: toggleFullScreen,
  };
  return (bar.data.presented ? presented : bar.data.on_page ? anywhere : {})[key] ?? null;
}

// Whether a key belongs to what has the focus: a field, a dialog, a control that was reached by the Tab key.
function isElsewhere(bar, event) {
  const path = event.composedPath().filter((part) => part instanceof Element);
  if (path.some((part) => part.matches('dialog, [role="dialog"], [role="listbox"], [role="menu"]'))) return true;
  const [target] = path;
  if (!target) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  if (target.matches("input") && !NO_TEXT.includes(target.type)) return true;
  if (!bar.data.presented && path.some((part) => part.matches(".lightbox"))) return true;
  if (!bar.tabbed) return false;
  if (event.key === " ") return target.matches('button, a, input, summary, [role="button"], [role="radio"], [role="checkbox"]');
  return event.key.startsWith("Arrow") && target.matches('input, [role="radio"], [role="radiogroup"], [role="tab"], [role="slider"]');
}

function toTop() {
  for (const part of [document.querySelector(STAGE), document.querySelector(MAIN)]) part?.scrollTo({ top: 0 });
}

// Back to where the reader was on the page, once the stage is gone and the page has its own sizes again.
function restore(bar) {
  const [{ focused, scrolled }, start] = [bar, performance.now()];
  let settled = 0;
  const look = () => {
    if (!document.querySelector(STAGE)) {
      if (settled === 0 && focused?.isConnected) focused.focus({ preventScroll: true });
      if (!bar.data.on_page) document.querySelector(MAIN)?.scrollTo({ top: scrolled });
      settled += 1;
    }
    if (settled < 10 && performance.now() - start < RESTORED_WITHIN_MS) requestAnimationFrame(look);
  };
  look();
}
