// The page of one pipeline: the chart of durations, and the command that follows what is written into the form.
import { chart, token } from "./charts.js";
import { spellDuration } from "./app.js";

const COLOURS = { succeeded: "--good-fill", failed: "--bad-fill", timeout: "--bad-fill", running: "--busy-fill" };

function drawDurations() {
  const element = document.querySelector("[data-chart=durations]");
  if (!element || element.dataset.drawn) return;
  element.dataset.drawn = "yes";
  const data = JSON.parse(document.getElementById("durations-data").textContent);
  const make = () => ({
    xAxis: { type: "category", data: data.runs.map((run) => run.run.slice(0, 13)), axisLabel: { show: false } },
    yAxis: { type: "value", axisLabel: { formatter: (value) => spellDuration(value) } },
    tooltip: { trigger: "axis", formatter: ([point]) => `${data.runs[point.dataIndex].run}\n${data.runs[point.dataIndex].status}, ${spellDuration(point.value)}` },
    series: [{
      type: "bar", barMaxWidth: 18, cursor: "pointer",
      data: data.runs.map((run) => ({ value: run.duration_s, itemStyle: { color: token(COLOURS[run.status] ?? "--idle-fill"), borderRadius: [2, 2, 0, 0] } })),
      markLine: data.usual_s ? { silent: true, symbol: "none", lineStyle: { color: token("--ink-3"), type: "dashed" }, label: { formatter: "usual", color: token("--ink-3"), position: "insideEndTop" }, data: [{ yAxis: data.usual_s }] } : undefined,
    }],
  });
  chart(element, make, (instance) => {
    instance.off("click");
    instance.on("click", ({ dataIndex }) => location.assign(`/runs/${encodeURIComponent(data.runs[dataIndex].run)}`));
  });
}

/** The graph as on the page of the newest run; a step leads there. */
async function drawGraph() {
  const host = document.getElementById("pipeline-graph");
  if (!host || host.dataset.asked) return;
  host.dataset.asked = "yes";
  const page = `/runs/${encodeURIComponent(host.dataset.run)}`;
  const [{ GraphView }, answer] = await Promise.all([import("./graph.js"), fetch(`${page}/graph.json`, { headers: { accept: "application/json" } })]);
  if (!answer.ok) return;
  const address = (task) => `${page}?task=${encodeURIComponent(task)}`;
  new GraphView(host, { pipeline: host.dataset.pipeline, address, choose: (task) => location.assign(address(task)) }).setData(await answer.json());
}

/** A word as a shell takes it. */
export function quoteWord(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** The command line for what stands in the form: parameters at their default are left out, as one would. */
function spellCommand(form) {
  const first = form.dataset.command.match(/^fairway run (?:'[^']*'|\S+)/)[0];
  const words = [first];
  for (const field of form.querySelectorAll("[name^='p.']")) {
    const value = field.type === "checkbox" ? String(field.checked) : field.value;
    if (value !== field.dataset.default || field.required) words.push(`--${field.name.slice(2).replaceAll("_", "-")} ${quoteWord(value)}`);
  }
  const target = form.dataset.command.match(/ --on \S+$/);
  return words.join(" ") + (target ? target[0] : "");
}

function isDefault(field) {
  return (field.type === "checkbox" ? String(field.checked) : field.value) === field.dataset.default;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-reset]");
  if (!button) return;
  const field = document.getElementById(button.dataset.reset);
  if (field.type === "checkbox") field.checked = field.dataset.default === "true";
  else field.value = field.dataset.default;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
});
document.addEventListener("input", (event) => {
  const form = event.target.closest?.("#start-form");
  if (!form) return;
  const reset = form.querySelector(`[data-reset="${CSS.escape(event.target.id)}"]`);
  if (reset) reset.hidden = isDefault(event.target);
  const text = spellCommand(form);
  form.querySelector("#start-command code").textContent = text;
  form.querySelector("#start-command [data-copy]").dataset.copy = text;
});
document.addEventListener("htmx:afterSettle", () => {
  drawDurations();
  drawGraph();
  document.querySelector("#start-form [aria-invalid=true]")?.focus();
});
drawDurations();
drawGraph();
