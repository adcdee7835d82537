// What every page does: colours, copying, dialogs, times that grow older, messages, keys.
import "./early.js";
import "./live.js";
import "./keys.js";
import { spellDuration } from "./words.js";

export { spellDuration };

const dark = matchMedia("(prefers-color-scheme: dark)");
const THEME_ICONS = {
  auto: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 2v12M8 5l4-1.5M8 8h6M8 11l4 1.5",
  light: "M8 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  dark: "M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5Z",
};

/** The colours in force: "auto", "light" or "dark". */
export function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

/** Use these colours from now on. Charts hear of it by the event "themechange" on the document. */
export function setTheme(chosen) {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    if (chosen === "auto") localStorage.removeItem("fairway-theme");
    else localStorage.setItem("fairway-theme", chosen);
  } catch { /* it holds for this page then */ }
  drawTheme();
  document.dispatchEvent(new CustomEvent("themechange"));
}

/** From the system's colours to the others, then to the system's own as a choice, and back: the first press is always seen. */
export function switchTheme() {
  const order = dark.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
  setTheme(order[(order.indexOf(theme()) + 1) % order.length]);
}

function drawTheme() {
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    button.querySelector("path").setAttribute("d", THEME_ICONS[theme()]);
    button.setAttribute("aria-label", `Colours: ${theme() === "auto" ? "as the system" : theme()}`);
  }
}

/** Say something for a few seconds. `kind`: "good" or "bad". */
export function say(text, kind = "good") {
  const toast = document.createElement("div");
  toast.className = "toast";
  toast.dataset.kind = kind;
  toast.textContent = text;
  document.getElementById("toasts").append(toast);
  setTimeout(() => toast.remove(), kind === "bad" ? 12000 : 4000);
}

/** Open a dialog by id. */
export function open(id) {
  const dialog = document.getElementById(id);
  if (!dialog || dialog.open) return;
  dialog.showModal();
  dialog.querySelector("[autofocus]")?.select?.();
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    say("Copied");
  } catch {
    say("The browser does not let pages copy; select the text instead", "bad");
  }
}

function spellAgo(at) {
  const passed = Date.now() / 1000 - at;
  if (passed < 10) return "just now";
  if (passed >= 7 * 86400) return new Date(at * 1000).toISOString().slice(0, 10);
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    if (passed >= unit) return `${Math.floor(passed / unit)} ${name} ago`;
  }
  return "just now";
}

function growOlder() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-at]")) {
    const text = spellAgo(Number(time.dataset.at));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const clock of document.querySelectorAll("[data-since]")) {
    const text = spellDuration(Date.now() / 1000 - Number(clock.dataset.since));
    if (clock.textContent !== text) clock.textContent = text;
  }
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const button = target?.closest("[data-copy], [data-theme-switch], [data-opens], [data-closes]");
  if (!button) {
    if (target instanceof HTMLDialogElement) target.close();
    return;
  }
  if (button.dataset.copy !== undefined) copy(button);
  else if (button.dataset.themeSwitch !== undefined) switchTheme();
  else if (button.dataset.opens) open(button.dataset.opens);
  else button.closest("dialog")?.close();
});
document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (xhr.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return;
  }
  if (xhr.status === 422) return; // what is wrong stands in the page itself
  const shown = new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector(".message");
  say(shown?.textContent.trim().replace(/\s+/g, " ") || `The server answered ${xhr.status}`, "bad");
});
document.addEventListener("htmx:sendError", () => say("The server does not answer; is it running? `fairway ui` starts it", "bad"));
drawTheme();
growOlder();
setInterval(growOlder, 1000);
