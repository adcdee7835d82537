// The panel of one task: its parts are set up when they come into the page, and its tab is fetched anew when the task has got on.
import "./actions.js";
import { say, spellDuration } from "./app.js";

const loadLog = () => Promise.all(["log", "log-model", "log-rows", "log-search", "log-rail", "log-tools", "charts"].map((name) => import(`./${name}.js`)));
const PARTS = [
  ["[data-log]", async (element) => {
    const [log] = await loadLog();
    new log.LogView(element);
  }],
  ["[data-curves]", async (element) => (await import("./curves.js")).showCurves(element)],
  [".io-preview", async () => import("./artifact.js")],
  ["[data-merged]", async (element) => (await import("./ranks.js")).showMerged(element)],
  ["[data-rank-use]", async (element) => (await import("./ranks.js")).showUse(element)],
  ["[data-usage]", async (element) => (await import("./curves.js")).showUsage(element)],
];
const known = new WeakSet();

function setUp() {
  for (const [selector, make] of PARTS) {
    for (const element of document.querySelectorAll(selector)) {
      if (known.has(element)) continue;
      known.add(element);
      make(element).catch((error) => say(`This part of the page could not be loaded: ${error.message}`, "bad"));
    }
  }
}

const opened = new Set(); // folds that the reader has opened: news of the task leave them open
document.addEventListener("click", (event) => {
  const fold = event.target instanceof Element ? event.target.closest("#task summary")?.parentElement : null;
  if (fold?.id) opened[fold.open ? "delete" : "add"](fold.id);
});

let stamp = "";
/** The task has begun, ended, or is tried again: its tab shows what there is now. */
function lookAtStamp() {
  const head = document.querySelector("#task-state [data-stamp]");
  const now = head ? `${head.closest("#task")?.dataset.task} ${head.dataset.stamp}` : "";
  const moved = stamp && now && stamp !== now && stamp.split(" ")[0] === now.split(" ")[0];
  stamp = now;
  if (!moved) return;
  const tab = document.querySelector("#task-body .task-tabs [aria-current]");
  const view = document.querySelector("#task-body [data-log]");
  const attempts = document.querySelectorAll("#task-state .attempt").length;
  if (view && view.dataset.attempts === String(attempts)) return; // the log goes on by itself
  if (tab && !document.querySelector("#task-body input:focus")) window.htmx.trigger(tab, "click");
}

setInterval(() => {
  for (const clock of document.querySelectorAll("[data-until]")) clock.textContent = spellDuration(Number(clock.dataset.until) - Date.now() / 1000);
}, 1000);
document.addEventListener("htmx:afterSwap", () => { for (const id of opened) document.getElementById(id)?.setAttribute("open", ""); });
document.addEventListener("htmx:afterSettle", () => { setUp(); lookAtStamp(); });
setUp();
lookAtStamp();
if (/\/task\?(?!.*tab=(?!log))/.test(document.getElementById("run-panel-body")?.getAttribute("hx-get") ?? "")) loadLog(); // it will be wanted
