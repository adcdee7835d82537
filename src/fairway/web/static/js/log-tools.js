// What a log is used with: its toolbar, its keys, links to lines, copying.
import { say } from "./app.js";
import { parseAnsi, parseLines, splitStamp } from "./log-model.js";

const COPY_MOST = 4 << 20;
const TYPING_MS = 120;

/** Listen to all that is done to `log`, a LogView. */
export function equip(log) {
  for (const name of ["wrap", "times"]) {
    const button = log.element.querySelector(`[data-log-${name}]`);
    const kept = remember(name);
    if (kept !== null) button.setAttribute("aria-pressed", kept);
    log.element.classList.toggle(name === "wrap" ? "is-wrapped" : "has-times", log.isOn(name));
  }
  log.view.addEventListener("scroll", () => log.onScroll(), { passive: true });
  log.element.addEventListener("click", (event) => click(log, event));
  new ResizeObserver(() => { if (log.follow) log.toBottom(); else log.settle(); }).observe(log.view);
  listenToTyping(log);
  listenToKeys(log);
}

function listenToTyping(log) {
  const q = log.element.querySelector(".log-q");
  let typing = 0;
  q.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => log.seek(), TYPING_MS);
  });
  q.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      log.stepHit(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape" && q.value) {
      q.value = "";
      log.seek();
      event.stopPropagation();
    }
  });
}

function listenToKeys(log) {
  log.view.addEventListener("keydown", (event) => {
    if (event.key !== "End" && event.key !== "Home") return;
    event.preventDefault();
    if (event.key === "End") log.goEnd();
    else log.goStart();
  });
  const onKey = (event) => {
    if (log.gone) {
      document.removeEventListener("keydown", onKey);
      return;
    }
    const typing = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog");
    if (typing || (event.key !== "n" && event.key !== "N") || !log.search.hits.length) return;
    event.preventDefault();
    log.stepHit(event.key === "n" ? 1 : -1);
  };
  document.addEventListener("keydown", onKey);
}

function click(log, event) {
  const link = event.ctrlKey || event.metaKey ? null : event.target.closest("a.log-n[href]");
  if (link) {
    event.preventDefault();
    choose(log, Number(link.dataset.n), event.shiftKey);
    return;
  }
  const button = event.target.closest("button");
  if (!button) return;
  if (button.classList.contains("log-toggle")) toggle(log, button);
  else if (button.matches("[data-log-next]")) log.stepHit(1);
  else if (button.matches("[data-log-prev]")) log.stepHit(-1);
  else if (button.matches("[data-log-end]")) log.goEnd();
  else if (button.matches("[data-log-copy]")) copy(log);
}

function toggle(log, button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  if (button.matches("[data-log-case], [data-log-regex]")) {
    log.seek();
    return;
  }
  const name = button.matches("[data-log-wrap]") ? "wrap" : "times";
  remember(name, String(on));
  const top = log.rows.children[log.rowAt(log.view.scrollTop)];
  log.element.classList.toggle(name === "wrap" ? "is-wrapped" : "has-times", on);
  if (log.follow) log.toBottom();
  else if (top) log.scrollTo(top, false);
  if (name === "times" && log.search.asked) log.seek();
  log.settle();
}

/** Make a line, or with `range` all lines up to it, what the address names. */
function choose(log, number, range) {
  log.lines = range && log.lines ? parseLines(`${log.lines[0]}-${number}`) : [number, number];
  history.replaceState(history.state, "", log.href(log.lines[0] === log.lines[1] ? number : log.lines.join("-")));
  log.markLines();
}

async function copy(log) {
  const chosen = getSelection();
  let text = chosen && log.view.contains(chosen.anchorNode) ? chosen.toString() : "";
  if (!text && log.size > COPY_MOST) {
    say("The log is too long to be copied; download it, or select a part", "bad");
    return;
  }
  if (!text) {
    const times = log.isOn("times");
    const bare = (line) => {
      const [at, said] = splitStamp(line);
      return (times && at ? `${at} ` : "") + parseAnsi(said).map((span) => span.text).join("");
    };
    text = new TextDecoder().decode(await log.fetchBytes(0, log.size)).split("\n").map(bare).join("\n");
  }
  navigator.clipboard.writeText(text).then(() => say("Copied"), () => say("The browser does not let pages copy; select the text instead", "bad"));
}

/** What the reader has chosen for all logs: kept in this browser. */
function remember(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(`fairway-log-${name}`, value);
    return localStorage.getItem(`fairway-log-${name}`);
  } catch {
    return null;
  }
}
