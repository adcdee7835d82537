// The page of a run's search: drawn anew as trials come in.
import { say, spellDuration } from "./app.js";
import { chart, dropChart, palette, token } from "./charts.js";
import { fetchJson } from "./curves.js";
import { whileLive } from "./live.js";
import { showStudy } from "./tune-view.js";

const EVERY_MS = 1500;
const root = document.getElementById("tune");
const { run, study } = root.dataset;
const host = {
  chart, dropChart, spellDuration, scrolled: true,
  look: { token, palette },
  taskUrl: (address) => (address ? `/runs/${encodeURIComponent(run)}?${new URLSearchParams({ task: address })}` : ""),
};
const update = showStudy(root, JSON.parse(document.getElementById("tune-data").textContent), host);
whileLive(root, [`run:${run}`], async () => {
  update(await fetchJson(`/runs/${encodeURIComponent(run)}/tune.json?study=${encodeURIComponent(study)}`));
}, { every: EVERY_MS, shown: true });
document.getElementById("tune-study")?.addEventListener("change", (event) => {
  location.search = new URLSearchParams({ study: event.target.value });
});
window.addEventListener("unhandledrejection", (event) => say(`The search could not be drawn: ${event.reason?.message ?? event.reason}`, "bad"));
