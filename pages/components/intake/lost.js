// What a tab loses when its page or its server is started again: said before and after.

const MEMORY = "cam-lightbox-session";
const STOPPED =
  "The server of this app has stopped or cannot be reached. Start it again as before (for example with make app): " +
  "this page then connects by itself. Pictures and own models have to be added again.";

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(MEMORY));
  } catch {
    return null;
  }
}

// Return what to say about the session that this tab had before, if its work is gone; remember the present one.
function wordsOfLoss(present) {
  const former = remembered();
  sessionStorage.setItem(MEMORY, JSON.stringify(present));
  if (!former?.holds || former.session === present.session) return "";
  return (
    `This page or its server was started again. Lost: ${former.holds}. ` +
    "Nothing is kept longer than its tab; please add what you still need."
  );
}

// Watch for the dialogue in which Streamlit says that its server is away; call `back` once it has gone again.
function watchServer(back) {
  let away = false;
  const watcher = new MutationObserver(() => {
    const dialogues = [...document.querySelectorAll('[role="dialog"] :not(:has(*))')];
    // Streamlit asks for an internet connection. This app needs none.
    const wrong = dialogues.find((words) => /connected to the internet|accidentally stopped/.test(words.textContent));
    if (wrong) wrong.textContent = STOPPED;
    const shown = dialogues.some((words) => words.textContent === STOPPED);
    if (away && !shown) back();
    away = shown;
  });
  watcher.observe(document.body, { childList: true, subtree: true });
  return watcher;
}
