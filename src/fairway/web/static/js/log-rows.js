// Rows of a log as elements: number, time, coloured text, marks where what is sought was found.
import { findIn, parseAnsi, splitStamp } from "./log-model.js";

const COLOURS = new Set(["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]);

/** How bright a colour "#rrggbb" is, 0 to 1. */
export function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function paint(look) {
  const node = document.createElement("span");
  const [fg, bg] = look.inverse ? [look.bg, look.fg] : [look.fg, look.bg];
  if (look.inverse && !fg && !bg) node.classList.add("ansi-inverse");
  for (const name of ["bold", "dim", "italic", "underline", "strike"]) if (look[name]) node.classList.add(`ansi-${name}`);
  if (COLOURS.has(bg.replace("bright-", ""))) node.classList.add(`ansi-on-${bg}`);
  else if (bg) node.style.backgroundColor = bg;
  if (COLOURS.has(fg.replace("bright-", ""))) node.classList.add(`ansi-${fg}`);
  else if (fg && bg.startsWith("#")) node.style.color = fg;
  else if (fg) { // made darker or lighter by the style sheet until it can be read on the page
    const bright = luminance(fg);
    node.classList.add("ansi-rgb", bright > 0.5 ? "ansi-light" : bright > 0.2 ? "ansi-middle" : bright > 0.11 ? "ansi-deep" : "ansi-dark");
    node.style.setProperty("--c", fg);
  } else if (bg.startsWith("#")) {
    node.style.color = luminance(bg) > 0.18 ? "#000" : "#fff";
  }
  return node;
}

/** Put `text` below `parent`, with a mark around each part that lies in `found`; `at` is where the text begins. */
function write(parent, text, at, found) {
  let done = 0;
  for (const [begin, end] of found) {
    const from = Math.max(begin - at, done);
    const to = Math.min(end - at, text.length);
    if (to <= from || from >= text.length) continue;
    if (from > done) parent.append(text.slice(done, from));
    const mark = document.createElement("mark");
    mark.textContent = text.slice(from, to);
    parent.append(mark);
    done = to;
  }
  if (done < text.length) parent.append(text.slice(done));
}

/** The element of a row. `base` is the page's address, to which the number's link adds the line. */
export function makeRow(row, number, sought, href) {
  const element = document.createElement("div");
  element.className = "log-row";
  const gutter = document.createElement("a");
  gutter.className = "log-n";
  gutter.tabIndex = -1;
  const time = document.createElement("span");
  time.className = "log-time";
  const text = document.createElement("span");
  text.className = "log-text";
  element.append(gutter, time, text);
  fillRow(element, row, sought);
  numberRow(element, row, number, href);
  return element;
}

/** Write the row's text anew, with what is sought marked in it. */
export function fillRow(element, row, sought) {
  const [, time, text] = element.children;
  const [stamp, said] = row.first ? splitStamp(row.text) : ["", row.text];
  time.textContent = stamp ? stamp.slice(11, 23).replace("Z", "") : "";
  if (stamp) time.title = stamp;
  text.textContent = "";
  const spans = parseAnsi(said);
  const found = sought ? findIn(spans.map((span) => span.text).join(""), sought) : [];
  element.classList.toggle("has-mark", found.length > 0);
  let at = 0;
  for (const span of spans) {
    const parent = span.look ? paint(span.look) : text;
    write(parent, span.text, at, found);
    if (parent !== text) text.append(parent);
    at += span.text.length;
  }
}

/** Set the row's line number, and the link to it; 0 while it is not known. */
export function numberRow(element, row, number, href) {
  const gutter = element.firstElementChild;
  const shown = number && row.first ? String(number) : "";
  if (gutter.dataset.n === shown) return;
  gutter.dataset.n = shown;
  if (shown) {
    gutter.href = href(number);
    gutter.setAttribute("aria-label", `Line ${number}`);
  } else {
    gutter.removeAttribute("href");
  }
}
