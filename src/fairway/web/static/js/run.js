// One run's page: which view, which task; all of it in the address. News of the run are fetched and put in place.

import { onLive } from "./live.js";
import { GraphView } from "./graph.js";

const root = document.getElementById("run");
const { run, pipeline } = root.dataset;
const base = `/runs/${encodeURIComponent(run)}`;
const panel = document.getElementById("run-panel");
const panelBody = document.getElementById("run-panel-body");
const narrow = matchMedia("(max-width: 60rem)");
const state = { view: root.dataset.view, task: root.dataset.task, tab: root.dataset.tab };
const data = { graph: null, timeline: null };
let graph = null, timeline = null;
let before = null; // what had the focus when the panel was opened

/** The page's address with these changes to what is looked at. */
function address(changes = {}) {
  const { view, task, tab } = { ...state, ...changes };
  const query = new URLSearchParams();
  if (view && view !== "graph") query.set("view", view);
  if (task) query.set("task", task);
  if (task && tab) query.set("tab", tab);
  const text = query.toString();
  return text ? `${base}?${text}` : base;
}

async function load(kind) {
  const answer = await fetch(`${base}/${kind}.json`, { credentials: "same-origin", headers: { accept: "application/json" } });
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return null;
  }
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

const fetching = new Map();

/** Fetch a view's data and show it; further news meanwhile are taken together into one more fetch, which leaves as long a rest as this took. */
function refresh(kind, apply) {
  if (fetching.has(kind)) {
    fetching.set(kind, true);
    return;
  }
  fetching.set(kind, false);
  const began = performance.now();
  load(kind).then((found) => {
    if (!found) return undefined;
    data[kind] = found;
    return apply(found);
  }).catch((error) => tellTrouble(kind, error)).finally(() => {
    setTimeout(() => {
      const again = fetching.get(kind);
      fetching.delete(kind);
      if (again) refresh(kind, apply);
    }, Math.min(2000, 2 * (performance.now() - began)));
  });
}

function tellTrouble(kind, error) {
  const host = document.getElementById(`run-${kind}`);
  if (host.dataset.ready) return; // what is shown stays; the next news try again
  const text = document.createElement("p");
  text.className = "run-trouble quiet";
  text.setAttribute("role", "alert");
  text.textContent = `The ${kind} could not be loaded: ${error.message}. Reload the page to try again.`;
  host.append(text);
}

function applyGraph(found) {
  graph ??= new GraphView(document.getElementById("run-graph"), { pipeline, address: (task) => address({ task, tab: "" }), choose: (task) => choose(task) });
  const first = !graph.model;
  graph.setData(found);
  if (first) graph.choose(state.task, true);
}

async function applyTimeline(found) {
  const { TimelineView } = await import("./timeline.js");
  timeline ??= new TimelineView(document.getElementById("run-timeline"), { address: (task) => address({ task, tab: "" }), choose: (task) => choose(task), local: root.dataset.target === "local" });
  timeline.setData(found, data.graph);
  timeline.choose(state.task);
}

function refreshView() {
  if (state.view === "graph") refresh("graph", applyGraph);
  else if (state.view === "timeline") {
    const show = () => refresh("timeline", applyTimeline);
    if (data.graph) show(); // what the longest chain is needs both: drawn at once, nothing jumps
    else load("graph").then((found) => { data.graph = found; }).catch(() => {}).finally(show);
  }
}

/** Show a view: "graph", "timeline" or "steps". */
function show(view, push = true) {
  state.view = view;
  if (push) history.pushState(null, "", address());
  drawView();
  refreshView();
  if (view === "steps") document.getElementById("run-steps").dispatchEvent(new CustomEvent("show"));
}

function drawView() {
  root.dataset.view = state.view;
  for (const name of ["graph", "timeline", "steps"]) document.getElementById(`run-${name}`).hidden = name !== state.view;
  for (const tab of document.querySelectorAll("[data-view-tab]")) {
    const own = tab.dataset.viewTab;
    tab.setAttribute("href", address({ view: own }));
    if (own === state.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
}

/** Look at a task, or at a step that has many; "" closes the panel. */
function choose(task, { push = true, tab = "" } = {}) {
  if (task === state.task && tab === state.tab && task) return;
  if (task && panel.hidden) before = document.activeElement;
  state.task = task;
  state.tab = tab;
  if (push) history.pushState(null, "", address());
  drawPanel(true);
  drawView();
  graph?.choose(task, !narrow.matches);
  timeline?.choose(task);
  markRow();
}

function markRow() {
  const wanted = `step-${encodeURIComponent(stepOf(state.task))}`;
  for (const row of document.querySelectorAll("#run-steps tr[data-row]")) row.classList.toggle("chosen", Boolean(state.task) && row.id === wanted);
}
document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target?.id === "run-steps") markRow(); });

function stepOf(task) {
  return task.replace(/\[[\d,]*\]$/, "");
}

/** Is it a step that has many tasks? Known of those in the graph; an index says no. */
function isStep(task) {
  return stepOf(task) === task && Boolean(data.graph?.nodes.find((node) => node.id === task)?.mapped);
}

async function drawPanel(fetched) {
  const { task, tab } = state;
  panel.hidden = !task;
  root.classList.toggle("with-panel", Boolean(task));
  const modal = Boolean(task) && narrow.matches;
  document.body.classList.toggle("sheet-open", modal);
  panel.setAttribute("role", modal ? "dialog" : "complementary");
  if (modal) panel.setAttribute("aria-modal", "true");
  else panel.removeAttribute("aria-modal");
  if (!task) {
    panelBody.replaceChildren();
    if (before?.isConnected) before.focus({ preventScroll: true });
    before = null;
    return;
  }
  document.getElementById("run-panel-name").textContent = task;
  const up = document.getElementById("run-panel-up");
  up.hidden = stepOf(task) === task;
  up.href = address({ task: stepOf(task), tab: "" });
  up.dataset.taskLink = stepOf(task);
  if (!fetched) return;
  if (!data.graph) {
    try { data.graph = await load("graph"); } catch { /* it is taken for a task */ }
    if (state.task !== task) return;
  }
  const query = new URLSearchParams(isStep(task) ? { step: task } : tab ? { task, tab } : { task });
  panelBody.scrollTop = 0;
  await window.htmx.ajax("GET", `${base}/${isStep(task) ? "items" : "task"}?${query}`, { target: panelBody, swap: "innerHTML" });
  if (modal) document.getElementById("run-panel-close").focus();
}

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  const target = event.target instanceof Element ? event.target : null;
  const tab = target?.closest("[data-view-tab]");
  const task = target?.closest("[data-task-link]");
  if (tab) {
    event.preventDefault();
    show(tab.dataset.viewTab);
  } else if (task) {
    event.preventDefault();
    choose(task.dataset.taskLink, { tab: task.dataset.taskTab ?? "" });
  }
});
document.getElementById("run-panel-close").addEventListener("click", () => choose(""));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || !state.task || document.querySelector("dialog[open]")) return;
  if (event.target instanceof HTMLElement && event.target.matches("input, textarea, select")) return;
  choose("");
});
addEventListener("popstate", () => {
  const query = new URLSearchParams(location.search);
  const view = query.get("view") ?? "graph";
  if (view !== state.view) show(view, false);
  choose(query.get("task") ?? "", { push: false, tab: query.get("tab") ?? "" });
});
/** The panel's own tabs change the address by themselves; which view it is they do not know. */
function addressChanged() {
  const query = new URLSearchParams(location.search);
  if (query.get("task") !== state.task) return;
  state.tab = query.get("tab") ?? "";
  if (state.view === "graph" || query.get("view") === state.view) return;
  query.set("view", state.view);
  history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
}
document.addEventListener("htmx:pushedIntoHistory", addressChanged);
document.addEventListener("htmx:replacedInHistory", addressChanged);
narrow.addEventListener("change", () => drawPanel(false));

// A list that was made longer stays as long: only what is above it follows the news.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.target?.id === "run-more") document.getElementById("run-items-list")?.removeAttribute("data-live");
});

/** The strip of a step's tasks: pointing at a cell lists the tasks from there on. */
panelBody.addEventListener("click", (event) => {
  const strip = event.target.closest?.(".strip");
  if (!strip) return;
  const box = strip.getBoundingClientRect();
  const column = Math.min(49, Math.floor(((event.clientX - box.left) / box.width) * 50));
  const row = Math.floor(((event.clientY - box.top) / box.width) * 50);
  const after = (row * 50 + column) * Number(strip.dataset.each);
  window.htmx.ajax("GET", `${base}/items?${new URLSearchParams({ step: strip.dataset.step, after })}`, { target: "#run-items", swap: "outerHTML" });
});

function setWidth(share) {
  const kept = Math.min(75, Math.max(20, share));
  document.documentElement.style.setProperty("--panel", `${kept}%`);
  document.getElementById("run-panel-grip").setAttribute("aria-valuenow", String(Math.round(kept)));
  try { localStorage.setItem("fairway-panel", String(kept)); } catch { /* for this page */ }
}

function makeGrip() {
  const grip = document.getElementById("run-panel-grip");
  try {
    const kept = Number(localStorage.getItem("fairway-panel"));
    if (kept) setWidth(kept);
  } catch { /* as usual */ }
  const shareAt = (x) => { const box = root.getBoundingClientRect(); return ((box.right - x) / box.width) * 100; };
  grip.addEventListener("pointerdown", (event) => { grip.setPointerCapture(event.pointerId); event.preventDefault(); });
  grip.addEventListener("pointermove", (event) => { if (grip.hasPointerCapture(event.pointerId)) setWidth(shareAt(event.clientX)); });
  grip.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: 2, ArrowRight: -2 }[event.key];
    if (by) { event.preventDefault(); setWidth(Number(grip.getAttribute("aria-valuenow")) + by); }
  });
}

makeGrip();
drawPanel(false);
refreshView();
onLive(`run:${run}`, refreshView);
setInterval(() => {
  if (document.hidden) return;
  if (state.view === "graph") graph?.tick();
}, 1000);
