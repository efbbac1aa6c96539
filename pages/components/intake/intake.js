// Entry point: files dropped anywhere on the page, or pasted, go to the page's own uploader or to the sidebar's.

const UPLOADERS = [".st-key-takes-drops input[type=file]", '[data-testid="stSidebar"] input[type=file]'];
const DROPZONE = '[data-testid="stFileUploaderDropzone"]';
const tabs = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  if (!tabs.has(parentElement)) tabs.set(parentElement, watch(parentElement));
  const tab = tabs.get(parentElement);
  tab.holds = data.holds;
  tab.send = setTriggerValue;
  const words = wordsOfLoss(data);
  if (words) {
    tab.note.querySelector("span").textContent = words;
    tab.note.hidden = false;
  }
  return () => {
    tab.stop.abort();
    tab.server.disconnect();
    tabs.delete(parentElement);
  };
}

function watch(parent) {
  const tab = { holds: "", stop: new AbortController(), note: parent.querySelector(".lost") };
  const veil = parent.querySelector(".drop-here");
  const on = (name, act) => window.addEventListener(name, act, { signal: tab.stop.signal });
  on("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // a file dropped on a page that does not take it would replace the page
    if (!veil.matches(":popover-open")) veil.showPopover();
  });
  on("dragleave", (event) => { if (!event.relatedTarget) veil.hidePopover(); });
  on("drop", (event) => {
    veil.hidePopover();
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (!event.target.closest?.(DROPZONE)) give(event.dataTransfer.files);
  });
  on("paste", (event) => { if (event.clipboardData?.files.length) give(event.clipboardData.files); });
  on("beforeunload", (event) => { if (tab.holds) event.preventDefault(); });
  tab.note.querySelector("button").addEventListener("click", () => { tab.note.hidden = true; });
  // Streamlit would show the former page until its user changes something.
  tab.server = watchServer(() => tab.send("returned", true));
  return tab;
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

// Files take the way of those that are chosen in the uploader, with its limits.
function give(files) {
  const input = UPLOADERS.map((place) => document.querySelector(place)).find(Boolean);
  if (!input) return;
  const chosen = new DataTransfer();
  for (const file of input.multiple ? files : [files[0]]) chosen.items.add(file);
  input.files = chosen.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}
