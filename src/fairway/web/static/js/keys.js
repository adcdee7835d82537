// Keys: / search, j k move, Enter opens, x chooses, g r runs, t colours, ? help.
import { open, switchTheme } from "./app.js";

const PLACES = { r: "/runs", p: "/pipelines", a: "/artifacts", e: "/endpoints", s: "/system" };
let going = 0;

/** Rows that keys move over, as far as they are to be seen. */
function rows() {
  return [...document.querySelectorAll("[data-row]")].filter((row) => row.getClientRects().length);
}

function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("at"));
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
  all[at]?.classList.remove("at");
  next.classList.add("at");
  next.scrollIntoView({ block: "nearest" });
  (next.querySelector("a[href], button") ?? next).focus({ preventScroll: true });
}

function current() {
  return document.querySelector("[data-row].at");
}

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) && target.type !== "checkbox");
}

function press(key) {
  if (going && Date.now() - going < 1500 && PLACES[key]) {
    location.assign(PLACES[key]);
    return true;
  }
  going = key === "g" ? Date.now() : 0;
  if (key === "/") {
    const field = document.querySelector("[data-search]");
    if (field) { field.focus(); field.select(); } else open("palette");
  } else if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "x") current()?.querySelector("input[type=checkbox]")?.click();
  else if (key === "o") current()?.querySelector("a[href]")?.click();
  else if (key === "t") switchTheme();
  else if (key === "?") open("keys");
  else {
    const button = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key && one.getClientRects().length);
    if (!button) return key === "g";
    button.click();
  }
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === "Escape" && isTyping(event.target)) {
    event.target.blur();
    return;
  }
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (press(event.key)) event.preventDefault();
});
