// Charts of an endpoint: requests, latency, errors, replicas over the last half hour, going on by themselves; accuracy by revision.
import { chart, token } from "./charts.js";
import { joined, most, pairs, spanOf, spellMs, spellRate } from "./endpoint-series.js";
import { onLive } from "./live.js";

const AGAIN_MS = 1000;

/** The colour of a revision, everywhere the same. */
function colourOf(number) {
  return token(`--series-${number % 8 || 8}`);
}

function line(name, data, colour, more = {}) {
  return { name, type: "line", data, symbol: "none", showSymbol: true, connectNulls: false, lineStyle: { width: 1.5 }, itemStyle: { color: colour }, sampling: "max", ...more };
}

function options(series, y, lines, more = {}) {
  const [from, to] = spanOf(series, Date.now() / 1000);
  const told = (points) => points.map((one) => `${one.seriesName}   ${one.value[1] === null ? "–" : y(one.value[1], one.seriesName)}`);
  return {
    legend: { top: 0, right: 0, itemWidth: 12, itemHeight: 8, padding: 4 },
    grid: { top: 30, right: 12, bottom: 4, left: 4 },
    xAxis: { type: "time", min: from, max: to, splitLine: { show: false }, axisLabel: { hideOverlap: true, formatter: to - from < 600000 ? "{HH}:{mm}:{ss}" : "{HH}:{mm}" } },
    yAxis: { type: "value", min: 0, splitNumber: 3, axisLabel: { formatter: (value) => y(value) } },
    tooltip: { trigger: "axis", formatter: (points) => [new Date(points[0].value[0]).toLocaleTimeString(), ...told(points)].join("\n") },
    series: lines,
    ...more,
  };
}

const CHARTS = {
  rate(series) {
    const numbers = Object.keys(series.rates).filter((number) => most(series.rates[number]) > 0).sort((a, b) => b - a);
    const lines = numbers.map((number) => line(`revision ${number}`, pairs(series, series.rates[number]), colourOf(Number(number)), { stack: "all", areaStyle: { opacity: 0.25 }, sampling: "average" }));
    return options(series, spellRate, lines);
  },
  latency(series) {
    const lines = [["p50", "--series-3"], ["p95", "--series-1"], ["p99", "--series-4"]].map(([name, colour]) => line(name, pairs(series, series[name]), token(colour)));
    return options(series, spellMs, lines);
  },
  errors(series) {
    const percent = (value) => `${Number(value.toPrecision(2))} %`;
    const lines = [line("errors", pairs(series, series.errors), token("--bad-fill"), { areaStyle: { opacity: 0.2 } }), line("refused", pairs(series, series.refused), token("--warn-fill"))];
    const highest = Math.max(most(series.errors), most(series.refused));
    const made = options(series, percent, lines);
    if (highest < 1) Object.assign(made.yAxis, { max: 1, interval: 0.5 });
    else if (highest > 80) Object.assign(made.yAxis, { max: 100, interval: 50 });
    return made;
  },
  replicas(series) {
    const whole = (value) => (Number.isInteger(value) ? String(value) : "");
    const waiting = most(series.waiting) > 0;
    const lines = [line("ready", pairs(series, series.replicas), token("--series-3"), { step: "end", areaStyle: { opacity: 0.2 } }), line("wanted", pairs(series, series.wanted), token("--ink-3"), { step: "end", lineStyle: { width: 1.25, type: "dashed" } })];
    if (waiting) lines.push(line("requests waiting", pairs(series, series.waiting), token("--series-2")));
    const made = options(series, whole, lines);
    made.yAxis.minInterval = 1;
    made.yAxis.max = Math.max(most(series.wanted), most(series.replicas), most(series.waiting), 1);
    return made;
  },
};

/** Draw the charts in `root`, and go on with them for as long as it is in the page. */
export function showCharts(root) {
  let series = JSON.parse(document.getElementById("endpoint-series").textContent);
  const drawn = new Map(); // element -> [instance, names of its lines]
  const places = [...root.querySelectorAll("[data-chart]")];
  const names = (made) => made.series.map((one) => one.name).join();
  const draw = (element) => {
    const make = () => CHARTS[element.dataset.chart](series);
    const made = make();
    const [instance, before] = drawn.get(element) ?? [];
    if (instance && before === names(made)) { // the pointer's note stays where it is
      instance.setOption({ xAxis: { min: made.xAxis.min, max: made.xAxis.max }, yAxis: { max: made.yAxis.max ?? null, interval: made.yAxis.interval ?? null }, series: made.series.map(({ name, data }) => ({ name, data })) });
      return;
    }
    chart(element, make, (ready) => drawn.set(element, [ready, names(made)]));
  };
  const load = async () => {
    const response = await fetch(`${root.dataset.series}?after=${series.at.at(-1) ?? 0}`, { headers: { accept: "application/json" } });
    if (!response.ok) return;
    series = joined(series, await response.json());
    root.hidden = !series.at.length;
    document.getElementById("endpoint-quiet").hidden = !root.hidden;
    places.forEach(draw);
  };
  places.forEach(draw);
  let waiting = 0;
  const stop = onLive(document.getElementById("endpoint-top").dataset.live, () => {
    if (!root.isConnected) return stop();
    waiting ||= setTimeout(() => { waiting = 0; load().catch(() => {}); }, AGAIN_MS);
    return undefined;
  });
}

/** How good the predictions of each revision were. */
export function showAccuracy(element) {
  const { lines } = JSON.parse(document.getElementById("accuracy-data").textContent);
  const several = new Set(lines.map((one) => one.measure)).size > 1;
  const spell = (value) => String(Number(value.toPrecision(4)));
  chart(element, () => ({
    legend: { top: 0, right: 0, itemWidth: 12, itemHeight: 8 },
    grid: { top: 30, right: 12, bottom: 4, left: 4 },
    xAxis: { type: "time", splitLine: { show: false } },
    yAxis: { type: "value", scale: true, splitNumber: 3, axisLabel: { formatter: spell } },
    tooltip: { trigger: "axis", formatter: (points) => [new Date(points[0].value[0]).toLocaleString(), ...points.map((one) => `${one.seriesName}   ${spell(one.value[1])}, ${one.value[2]} labels`)].join("\n") },
    series: lines.map((one) => line(`revision ${one.revision}${several ? `, ${one.measure}` : ""}`, one.points.map(([at, value, labels]) => [at * 1000, value, labels]), colourOf(one.revision), { symbol: one.points.length < 3 ? "circle" : "none", sampling: undefined })),
  }));
}
