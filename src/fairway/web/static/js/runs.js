// The runs' list: filtered as one types, kept up to date, several rows chosen at once.
// One request at a time asks for the list; a newer one puts an older one out of date, and what is out of date is never shown.
import { open, say } from "./app.js";
import { onLive } from "./live.js";
import { suggestions } from "./suggest.js";

const TYPED_MS = 120;
const PATIENCE_MS = 400;
const COUNTED_MS = 900; // until then the server has counted what was too much to count at once
const SHOWN_LIMIT = 500;
const box = document.getElementById("q");
const list = document.getElementById("runs");
const mistake = document.getElementById("mistake");
const bar = document.getElementById("picked");
const picked = new Set(); // run ids, also of rows that are not shown just now
let flight = null; // the request under way
let again = false; // news came meanwhile
let wrong = 0; // says what is wrong with the query, soon
let last = null; // the checkbox that was pressed last

const head = () => list.querySelector(".runs-head");
const rows = () => [...list.querySelectorAll("tr[data-run]")];

/** The address of what is shown, with some of it changed. */
function address(changed = {}) {
  const { q = "", cols = "", sort = "", cursor = "" } = head()?.dataset ?? {};
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ q, cols, sort, cursor, ...changed })) if (value) query.set(name, value);
  const text = query.toString();
  return text ? `/runs?${text}` : "/runs";
}

/** Ask the server; null if a newer question came first. */
async function ask(url) {
  flight?.abort();
  const mine = (flight = new AbortController());
  list.classList.add("waiting");
  try {
    const answer = await fetch(url, { headers: { "HX-Request": "true", Accept: "text/html" }, signal: mine.signal });
    const text = await answer.text();
    if (answer.headers.get("hx-redirect")) location.assign(answer.headers.get("hx-redirect"));
    return flight === mine ? { status: answer.status, ok: answer.ok, mistake: answer.headers.has("fairway-mistake"), text } : null;
  } catch (error) {
    if (error.name !== "AbortError" && flight === mine) say("The server does not answer; is it running? `fairway ui` starts it", "bad");
    return null;
  } finally {
    if (flight === mine) {
      flight = null;
      list.classList.remove("waiting");
      if (again) refresh();
    }
  }
}

/** Show the list at `url`. `history`: "push" or "replace" the browser's address, "" leaves it. */
async function show(url, history, fresh = false) {
  const answer = await ask(url);
  if (!answer) return;
  clearTimeout(wrong);
  if (answer.mistake) { // who is still typing need not be told yet
    wrong = setTimeout(() => {
      mistake.innerHTML = answer.text;
      box.setAttribute("aria-invalid", "true");
    }, mistake.firstElementChild ? 0 : PATIENCE_MS);
    return;
  }
  if (!answer.ok) {
    if (answer.status !== 401) say(`The server answered ${answer.status}`, "bad");
    return;
  }
  mistake.replaceChildren();
  box.removeAttribute("aria-invalid");
  draw(answer.text, fresh);
  if (history === "push") window.history.pushState(null, "", url);
  else if (history === "replace") window.history.replaceState(null, "", url);
}

/** Put the server's rows in the place of those shown: what is the same stays the same element. `fresh`: show which rows are new. */
function draw(html, fresh) {
  const known = new Set(rows().map((row) => row.id));
  const at = list.querySelector("tr.at")?.id;
  window.Idiomorph.morph(list, html, { morphStyle: "innerHTML" });
  document.getElementById(at ?? "")?.classList.add("at");
  if (fresh) for (const row of rows()) if (!known.has(row.id)) row.classList.add("fresh");
  drawPicked();
  countSoon();
}

function refresh() {
  if (flight) {
    again = true;
    return;
  }
  again = false;
  if (!head()) return;
  const shown = Math.min(SHOWN_LIMIT, Math.max(50, rows().length));
  show(address({ kept: head().dataset.columns, ...(shown > 50 ? { shown } : {}) }), "", true);
}

async function older(link) {
  if (link.getAttribute("aria-disabled")) return;
  const shown = rows().length;
  if (shown >= SHOWN_LIMIT) {
    location.assign(link.href);
    return;
  }
  link.setAttribute("aria-disabled", "true");
  const answer = await ask(address({ cursor: link.dataset.next, part: "rows", kept: head().dataset.columns }));
  if (!answer?.ok || !link.isConnected) {
    link.removeAttribute("aria-disabled");
    return;
  }
  const made = document.createElement("template");
  made.innerHTML = answer.text;
  const first = made.content.querySelector("tr");
  const focused = document.activeElement === link;
  for (const row of made.content.querySelectorAll("tr[data-run]")) if (document.getElementById(row.id)) row.remove();
  link.closest("tr").replaceWith(made.content);
  const count = list.querySelector("[data-shown]");
  if (count) count.textContent = String(rows().length);
  if (focused) first?.querySelector("a")?.focus();
  drawPicked();
  watchEnd();
}

// ---- more rows when the end comes into view
const end = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting && rows().length < SHOWN_LIMIT) older(target);
}, { rootMargin: "400px" });
function watchEnd() {
  end.disconnect();
  const link = list.querySelector("a[data-next]");
  if (link && rows().length < SHOWN_LIMIT) end.observe(link);
}
new MutationObserver(watchEnd).observe(list, { childList: true, subtree: true });
watchEnd();

// ---- the filter
let typed = 0;
function filter(history) {
  clearTimeout(typed);
  show(address({ q: box.value.trim(), cursor: "" }), history);
}
box.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => filter("replace"), TYPED_MS);
});
document.getElementById("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  filter("push");
});
suggestions(box, document.getElementById("suggestions"));
box.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  event.preventDefault(); // a browser would empty the box and leave the list as it is
  box.blur();
});
addEventListener("popstate", () => {
  const query = new URLSearchParams(location.search);
  box.value = query.get("q") ?? "";
  show(location.pathname + location.search, "");
});

// ---- what is chosen
function drawPicked() {
  for (const row of rows()) {
    const chosen = picked.has(row.dataset.run);
    row.querySelector("input[type=checkbox]").checked = chosen;
    if (chosen) row.setAttribute("aria-selected", "true");
    else row.removeAttribute("aria-selected");
  }
  const all = document.getElementById("pick-all");
  if (all) {
    const shown = rows().filter((row) => picked.has(row.dataset.run)).length;
    all.checked = shown > 0 && shown === rows().length;
    all.indeterminate = shown > 0 && !all.checked;
  }
  bar.hidden = picked.size === 0;
  for (const place of document.querySelectorAll("[data-count]")) place.textContent = String(picked.size);
  const runs = [...picked].sort();
  const compare = document.getElementById("compare");
  const fits = runs.length >= 2 && runs.length <= 50;
  compare.href = `/compare?${runs.map((run) => `run=${encodeURIComponent(run)}`).join("&")}`;
  compare.toggleAttribute("aria-disabled", !fits);
  if (!fits) compare.setAttribute("aria-disabled", "true");
  compare.title = fits ? "" : "Choose two to fifty runs";
  const command = runs.length === 2 ? `fairway diff ${runs[0]} ${runs[1]}` : runs.length === 1 ? `fairway show ${runs[0]}` : `fairway archive ${runs.join(" ")}`;
  bar.querySelector(".command code").textContent = command.length > 70 ? `${command.slice(0, 69)}…` : command;
  bar.querySelector(".command button").dataset.copy = command;
  const unarchive = bar.querySelector("[data-label=unarchive]");
  if (unarchive) unarchive.hidden = !/\barchived\b/.test(box.value);
}

function pick(run, chosen) {
  if (chosen) picked.add(run);
  else picked.delete(run);
}

list.addEventListener("click", (event) => {
  const target = event.target;
  if (target.id === "pick-all") {
    for (const row of rows()) pick(row.dataset.run, target.checked);
    drawPicked();
  } else if (target.matches("tr[data-run] input[type=checkbox]")) {
    const all = rows();
    const here = target.closest("tr");
    const from = event.shiftKey && last ? all.findIndex((row) => row.dataset.run === last) : -1;
    const to = all.indexOf(here);
    const range = from < 0 ? [here] : all.slice(Math.min(from, to), Math.max(from, to) + 1);
    for (const row of range) pick(row.dataset.run, target.checked);
    last = here.dataset.run;
    drawPicked();
  } else if (target.closest("a[data-next]") && !changed(event)) {
    event.preventDefault();
    older(target.closest("a[data-next]"));
  } else if (target.closest("a[data-list]") && !changed(event)) {
    event.preventDefault();
    const link = target.closest("a[data-list]");
    box.value = new URL(link.href).searchParams.get("q") ?? "";
    show(link.getAttribute("href"), "push");
  } else if (!target.closest("a, button, input, label, .pick") && !String(getSelection())) {
    target.closest("tr[data-run]")?.querySelector(".c-run a")?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ctrlKey: event.ctrlKey, metaKey: event.metaKey }));
  }
});
function changed(event) {
  return event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
}

document.getElementById("unpick").addEventListener("click", () => {
  picked.clear();
  drawPicked();
});
document.getElementById("compare").addEventListener("click", (event) => {
  if (event.currentTarget.getAttribute("aria-disabled") === "true") {
    event.preventDefault();
    say("Choose two to fifty runs to compare", "bad");
  }
});

async function label(action, tags = "") {
  const body = new URLSearchParams([["action", action], ["tags", tags], ...[...picked].map((run) => ["run", run])]);
  const headers = { ...JSON.parse(document.body.getAttribute("hx-headers") ?? "{}"), "HX-Request": "true", Accept: "text/html" };
  const answer = await fetch("/runs", { method: "POST", headers, body });
  if (!answer.ok) {
    const shown = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".message");
    say(shown?.textContent.trim().replace(/\s+/g, " ") || `The server answered ${answer.status}`, "bad");
    return;
  }
  const done = { tag: "Tagged", untag: "Tags taken off", archive: "Archived; “archived” in the filter finds them", unarchive: "Taken out of the archive" }[action];
  say(`${done} (${picked.size})`);
  if (action.endsWith("archive")) picked.clear();
  refresh();
}
bar.addEventListener("click", (event) => {
  const button = event.target.closest("[data-label]");
  if (button) label(button.dataset.label);
});
document.getElementById("tag-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const tags = document.getElementById("tags");
  label(event.submitter?.value ?? "tag", tags.value);
  tags.value = "";
  document.getElementById("tagging").close();
});

// ---- columns
document.getElementById("choose-columns").addEventListener("click", async () => {
  const answer = await fetch(address({ kept: head()?.dataset.columns ?? "" }).replace(/^\/runs/, "/columns"), { headers: { "HX-Request": "true", Accept: "text/html" } });
  if (!answer.ok) return;
  document.getElementById("columns-body").innerHTML = await answer.text();
  open("columns");
});
document.getElementById("columns").addEventListener("change", (event) => {
  const boxes = [...event.currentTarget.querySelectorAll("input[type=checkbox]")];
  const shown = (head()?.dataset.columns ?? "").split(",");
  const place = (key) => (shown.includes(key) ? shown.indexOf(key) : shown.length);
  const keys = boxes.filter((one) => one.checked).map((one) => one.value).sort((a, b) => place(a) - place(b));
  setColumns(keys.join(",") || "-", true);
});
document.getElementById("columns").addEventListener("click", (event) => {
  if (!event.target.closest("[data-usual-columns]")) return;
  const usual = event.currentTarget.querySelector("form").dataset.usual.split(",");
  for (const one of event.currentTarget.querySelectorAll("input[type=checkbox]")) one.checked = usual.includes(one.value);
  setColumns("", false);
});
function setColumns(text, kept) {
  document.cookie = `${list.dataset.cookie}=${encodeURIComponent(text)}; path=/; SameSite=Strict; max-age=${kept ? 31536000 : 0}`;
  show(address({ cols: text }), "replace");
}

let counted = 0;
function countSoon() {
  clearTimeout(counted);
  if (head()?.dataset.counting !== undefined) counted = setTimeout(refresh, COUNTED_MS);
}

onLive("runs", refresh);
const allTicked = document.getElementById("pick-all")?.checked; // what was ticked before this script was there stays so
for (const row of rows()) if (allTicked || row.querySelector("input[type=checkbox]").checked) picked.add(row.dataset.run);
drawPicked();
countSoon();
