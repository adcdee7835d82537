// The page of one endpoint: its parts are set up when they come into the page, each by a script of its own.
import "./actions.js";
import { say } from "./app.js";

const PARTS = [
  ["#endpoint-charts", async (element) => (await import("./endpoint-charts.js")).showCharts(element)],
  ["#accuracy-chart", async (element) => (await import("./endpoint-charts.js")).showAccuracy(element)],
  ["#traffic", async (element) => (await import("./endpoint-traffic.js")).guideTraffic(element)],
  ["#try", async (element) => (await import("./endpoint-try.js")).guideTrying(element)],
];
const LOG = ".ep-log";
const known = new WeakSet();

function setUp() {
  const log = document.querySelector(LOG);
  if (log && !known.has(log)) {
    known.add(log);
    log.scrollTop = log.scrollHeight; // the newest is what one looks for
  }
  for (const [selector, make] of PARTS) {
    const element = document.querySelector(selector);
    if (!element || known.has(element)) continue;
    known.add(element);
    make(element).catch((error) => say(`This part of the page could not be loaded: ${error.message}`, "bad"));
  }
}

/** Show what there is now: the parts that follow the news, and a tab that does not. */
function refresh() {
  const parts = document.querySelectorAll("#endpoint-content [data-live], #endpoint-head");
  for (const part of parts) part.dispatchEvent(new CustomEvent("live"));
  if (parts.length <= 1) window.htmx.trigger("#endpoint-content .tabs [aria-current]", "click");
}

document.addEventListener("fairway:done", refresh);
document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-reloads]")) refresh();
});
document.addEventListener("change", (event) => {
  const { id, value, dataset } = event.target;
  if (id !== "act-revision") return;
  const [, begin, target] = dataset.command.match(/^(.*?)( --on .*)?$/);
  const text = `${begin}${value === "0" ? "" : ` ${value}`}${target ?? ""}`;
  document.querySelector(".act-same code").textContent = text;
  document.querySelector(".act-same [data-copy]").dataset.copy = text;
});
document.addEventListener("htmx:afterSettle", setUp);
setUp();
