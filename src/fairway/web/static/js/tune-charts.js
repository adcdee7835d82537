// Pictures of a search as ECharts options: history, parallel coordinates, importance, contour, Pareto front, curves. Pure: `look` gives colours.

const GRID = 36;
const REACH = 0.11; // how far a trial speaks for its neighbourhood in the contour, as a share of the axis
const MOST_CURVES = 200;

/**
 * @typedef {{number: number, state: string, values: number[], params: Object<string, number|string>, reports: number[][], task: string, took: number, error?: string}} Trial
 * @typedef {{name: string, kind: "number"|"choice", log?: boolean, whole?: boolean, choices?: string[]}} Param
 * @typedef {{name: string, metrics: string[], directions: string[], params: Param[], trials: Trial[], best: number[], asked: number, fewest: number, importance: Object<string, Object<string, number>>}} Study
 * @typedef {{token: (name: string) => string, palette: () => string[]}} Look
 */

/** A number in few characters. */
export function spell(value) {
  if (typeof value !== "number") return value === undefined || value === null ? "–" : String(value);
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (value !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/** Trials with a value of the metric that count. */
export function complete(study, metric = 0) {
  return study.trials.filter((trial) => trial.state === "complete" && trial.values.length > metric && Number.isFinite(trial.values[metric]));
}

/** @returns {number[][]} [number, best value until then] of each complete trial that was better than all before it, and of the last. */
export function bestSoFar(study, metric = 0) {
  const better = study.directions[metric] === "max" ? (a, b) => a > b : (a, b) => a < b;
  const found = [];
  for (const trial of complete(study, metric)) {
    const value = trial.values[metric];
    if (!found.length || better(value, found[found.length - 1][1])) found.push([trial.number, value]);
  }
  const last = study.trials.length ? study.trials[study.trials.length - 1].number : 0;
  if (found.length && found[found.length - 1][0] < last) found.push([last, found[found.length - 1][1]]);
  return found;
}

/** "trial 12", its values, its parameters: what one reads when one points at it. */
export function describe(study, trial) {
  const values = study.metrics.map((name, n) => (trial.values[n] === undefined ? "" : `${name}  ${spell(trial.values[n])}`)).filter(Boolean);
  const params = study.params.map(({ name }) => `${name}  ${spell(trial.params[name])}`);
  return [`trial ${trial.number}${trial.state === "complete" ? "" : ` (${trial.state})`}`, ...values, ...params.slice(0, 12)].join("\n");
}

const axisName = (name, look) => ({ name, nameLocation: "middle", nameTextStyle: { color: look.token("--ink-3") } });
const upName = (name, look) => ({ name, nameLocation: "end", nameGap: 10, nameTextStyle: { color: look.token("--ink-3"), align: "left" } });
const brief = (value) => (typeof value === "number" ? String(Number(value.toPrecision(2))) : value);

/** All trials in their order, and the best value until each. */
export function historyOptions(study, metric, look) {
  const pruned = prunedOf(study, metric);
  const range = rangeOf(study, metric, pruned);
  const held = hold(range);
  const at = (trial) => ({ value: [trial.number, held(trial.values[metric])], trial: trial.number, ...edge(trial.values[metric], range) });
  const whole = complete(study, metric);
  const failed = study.trials.filter((trial) => trial.state === "failed");
  const many = whole.length > 300;
  const known = new Map(study.trials.map((trial) => [trial.number, trial]));
  return {
    grid: { top: 30, right: 18, bottom: 26, left: 8 },
    legend: { top: 0, left: 0, itemHeight: 8, itemWidth: 14 },
    tooltip: { trigger: "item", formatter: ({ data, seriesName }) => (data.trial === undefined ? `${seriesName}\n${spell(data[1])}` : describe(study, known.get(data.trial))) },
    xAxis: { type: "value", min: 0, minInterval: 1, max: Math.max(1, study.trials.length - 1), splitLine: { show: false }, nameGap: 24, ...axisName("trial", look) },
    yAxis: [{ type: "value", scale: true, axisLabel: { formatter: spell } }, { type: "value", min: 0, max: 1, show: false }],
    series: [
      { name: "complete", type: "scatter", data: whole.map(at), symbolSize: many ? 4 : 7, itemStyle: { color: look.token("--series-1"), opacity: many ? 0.55 : 0.85 } },
      ...(pruned.length ? [{ name: "pruned", type: "scatter", data: pruned.map(at), symbolSize: many ? 4 : 6, itemStyle: { color: "transparent", borderColor: look.token("--series-8"), borderWidth: 1.3 } }] : []),
      ...(failed.length ? [{ name: "failed", type: "scatter", yAxisIndex: 1, symbol: "triangle", symbolSize: 7, itemStyle: { color: look.token("--bad-fill") }, data: failed.map((trial) => ({ value: [trial.number, 0.015], trial: trial.number })) }] : []),
      { name: "best so far", type: "line", step: "end", showSymbol: false, data: bestSoFar(study, metric).map(([number, value]) => [number, held(value)]), lineStyle: { width: 2 }, itemStyle: { color: look.token("--series-2") }, z: 3 },
    ],
  };
}

/** How much each parameter matters. */
export function importanceOptions(study, metric, look) {
  const shares = Object.entries(study.importance[study.metrics[metric]] ?? {}).slice(0, 16).reverse();
  return {
    grid: { top: 6, right: 48, bottom: 4, left: 8 },
    legend: { show: false },
    tooltip: { trigger: "item", formatter: ({ name, value }) => `${name}  ${Math.round(value * 100)}%` },
    xAxis: { type: "value", min: 0, max: 1, axisLabel: { formatter: (value) => `${Math.round(value * 100)}%` }, interval: 0.25 },
    yAxis: { type: "category", data: shares.map(([name]) => name), axisLabel: { color: look.token("--ink-2"), width: 120, overflow: "truncate" } },
    series: [{ type: "bar", data: shares.map(([, share]) => share), barMaxWidth: 22, itemStyle: { color: look.token("--series-1"), borderRadius: [0, 3, 3, 0] }, label: { show: true, position: "right", color: look.token("--ink-2"), formatter: ({ value }) => `${Math.round(value * 100)}%` } }],
  };
}

/** From what is worse to what is better. */
function scale(study, metric, look) {
  const colours = ["--idle-fill", "--series-7", "--series-1", "--series-4"].map((name) => look.token(name));
  return study.directions[metric] === "max" ? colours : [...colours].reverse();
}

/** The range of the values, without the far ends of the worse side: one bad trial does not make all others look alike. */
export function usualRange(values, direction) {
  const sorted = [...values].sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const [low, high] = direction === "max" ? [at(0.1), sorted[sorted.length - 1]] : [sorted[0], at(0.9)];
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

/** From where to where values are drawn, and `others` with them: all, but for far ends of the worse side, which are drawn at the edge. */
export function shownRange(values, direction, others = []) {
  if (!values.length) return [-Infinity, Infinity];
  const [low, high] = usualRange(values, direction);
  const [least, most] = [...values, ...others].reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const far = 4 * (high - low);
  if (direction === "max") return [low - least > far ? low - (high - low) / 2 : least, most];
  return [least, most - high > far ? high + (high - low) / 2 : most];
}

const prunedOf = (study, metric) => study.trials.filter((trial) => trial.state === "pruned" && Number.isFinite(trial.values[metric]));
const rangeOf = (study, metric, others = []) => shownRange(complete(study, metric).map((trial) => trial.values[metric]), study.directions[metric], others.map((trial) => trial.values[metric]));
const hold = ([low, high]) => (value) => Math.max(low, Math.min(high, value));

/** The trial's value of a metric as it is drawn, given what all complete ones have. */
const drawn = (study, metric) => hold(rangeOf(study, metric));

/** How a value beyond the range is marked: by an arrow to where it lies. `turn`: up is that way. */
function edge(value, [low, high], turn = 0) {
  if (value >= low && value <= high) return {};
  return { symbol: "triangle", symbolSize: 9, symbolRotate: turn + (value < low ? 180 : 0) };
}

/** What the arrows of the history say; "" where there are none. */
export function beyondNote(study, metric) {
  const pruned = prunedOf(study, metric);
  const [low, high] = rangeOf(study, metric, pruned);
  const values = [...complete(study, metric), ...pruned].map((trial) => trial.values[metric]);
  if (values.some((value) => value < low)) return "▼ further down than is drawn";
  return values.some((value) => value > high) ? "▲ further up than is drawn" : "";
}

/** A line for each complete trial through its parameters to its value; all metrics have an axis. */
export function parallelOptions(study, metric, look) {
  const trials = complete(study, metric);
  const order = study.params.map((param) => param.name);
  const rank = study.importance[study.metrics[metric]] ?? {};
  const params = [...study.params].sort((a, b) => (rank[b.name] ?? 0) - (rank[a.name] ?? 0) || order.indexOf(a.name) - order.indexOf(b.name)).slice(0, 12);
  const [low, high] = usualRange(trials.map((trial) => trial.values[metric]), study.directions[metric]);
  const label = { color: look.token("--ink-2"), backgroundColor: look.token("--surface"), padding: [1, 3], borderRadius: 3 };
  const named = (name, dim) => ({ dim, name, nameTextStyle: { color: look.token("--ink-2"), width: 110, overflow: "truncate" }, axisLabel: { ...label, formatter: spell } });
  const axes = params.map((param, dim) => (param.kind === "choice"
    ? { ...named(param.name, dim), type: "category", data: param.choices, axisLabel: { ...label, formatter: (text) => (text.length > 11 ? `${text.slice(0, 10)}…` : text) } }
    : { ...named(param.name, dim), type: param.log ? "log" : "value", scale: true, ...(param.log ? { min: "dataMin", max: "dataMax", axisLabel: { ...label, formatter: brief } } : {}) }));
  study.metrics.forEach((name, n) => axes.push({ ...named(name, params.length + n), type: "value", scale: true, ...(study.directions[n] === "min" ? { inverse: true, nameLocation: "start" } : {}) }));
  const held = study.metrics.map((_, n) => drawn(study, n));
  const line = { width: trials.length > 100 ? 1 : 1.6, opacity: Math.max(0.12, Math.min(0.75, 60 / Math.max(trials.length, 1))) };
  return {
    parallel: { left: 40, right: 56, top: 40, bottom: 20, parallelAxisDefault: { areaSelectStyle: { width: 18, color: look.token("--accent"), opacity: 0.2 }, axisLine: { lineStyle: { color: look.token("--line-strong") } }, nameGap: 14 } },
    parallelAxis: axes,
    legend: { show: false },
    tooltip: { trigger: "item" },
    visualMap: { show: false, dimension: params.length + metric, min: low, max: high, inRange: { color: scale(study, metric, look) } },
    series: [{ type: "parallel", lineStyle: line, inactiveOpacity: 0.02, activeOpacity: 1, data: trials.map((trial) => [...params.map(({ name }) => trial.params[name] ?? NaN), ...trial.values.map((value, n) => held[n](value))]) }],
  };
}

const along = (param, low, high) => {
  const [from, to] = param.log ? [Math.log(low), Math.log(high)] : [low, high];
  return { to01: (value) => ((param.log ? Math.log(value) : value) - from) / (to - from || 1), from01: (share) => { const at = from + share * (to - from); return param.log ? Math.exp(at) : at; } };
};

/** One axis of the contour: where a value lies on it (0 to 1), its cells, and how ECharts draws it. */
function contourAxis(param, trials) {
  if (param.kind === "choice") {
    const count = Math.max(param.choices.length, 1);
    return { cells: count, choice: true, at: (value) => (param.choices.indexOf(String(value)) + 0.5) / count, labels: param.choices };
  }
  const values = trials.map((trial) => trial.params[param.name]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [from, to] = low < high ? [low, high] : [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const map = along(param, from, to);
  return { cells: GRID, choice: false, at: map.to01, low: from, high: to, log: param.log, labels: Array.from({ length: GRID }, (_, n) => spell(map.from01((n + 0.5) / GRID))) };
}

/** What the trials near each cell came to, weighted by how near they are: [column, row, value]; cells far from all trials are left out. */
export function contourCells(xs, ys, values, columns, rows) {
  const found = [];
  for (let column = 0; column < columns; column += 1) {
    for (let row = 0; row < rows; row += 1) {
      const [x, y] = [(column + 0.5) / columns, (row + 0.5) / rows];
      let [sum, norm] = [0, 0];
      for (let n = 0; n < values.length; n += 1) {
        const weight = Math.exp(-((xs[n] - x) ** 2 + (ys[n] - y) ** 2) / (2 * REACH * REACH));
        sum += weight * values[n];
        norm += weight;
      }
      if (norm > 0.02) found.push([column, row, sum / norm]);
    }
  }
  return found;
}

/** The metric over two parameters: smoothed from the trials, which lie on it. */
export function contourOptions(study, metric, [first, second], look) {
  const params = [first, second].map((name) => study.params.find((param) => param.name === name));
  const trials = complete(study, metric).filter((trial) => params.every((param) => param && trial.params[param.name] !== undefined));
  const axes = params.map((param) => contourAxis(param, trials));
  const places = trials.map((trial) => axes.map((axis, n) => axis.at(trial.params[params[n].name])));
  const held = drawn(study, metric);
  const values = trials.map((trial) => held(trial.values[metric]));
  const cells = contourCells(places.map(([x]) => x), places.map(([, y]) => y), values, axes[0].cells, axes[1].cells);
  const [low, high] = usualRange(values, study.directions[metric]);
  const known = new Map(study.trials.map((trial) => [trial.number, trial]));
  const best = new Set(study.best);
  const title = (name, which) => (which === "x" ? { ...axisName(name, look), nameGap: 26 } : upName(name, look));
  const shownAxis = (axis, param, which) => (axis.choice
    ? [{ type: "category", data: axis.labels, splitLine: { show: false }, ...title(param.name, which) }]
    : [{ type: "category", data: axis.labels, show: false }, { type: axis.log ? "log" : "value", min: axis.low, max: axis.high, position: which === "x" ? "bottom" : "left", splitLine: { show: false }, axisLabel: { formatter: axis.log ? brief : spell }, ...title(param.name, which) }]);
  const spot = (trial) => ({ value: params.map((param) => (param.kind === "choice" ? String(trial.params[param.name]) : trial.params[param.name])), trial: trial.number });
  const over = { xAxisIndex: axes[0].choice ? 0 : 1, yAxisIndex: axes[1].choice ? 0 : 1 };
  return {
    grid: { top: 26, right: 62, bottom: 26, left: 8 },
    legend: { show: false },
    tooltip: { trigger: "item", formatter: ({ data }) => (data.trial === undefined ? `about ${spell(data[2])}` : describe(study, known.get(data.trial))) },
    xAxis: shownAxis(axes[0], params[0], "x"),
    yAxis: shownAxis(axes[1], params[1], "y"),
    visualMap: { seriesIndex: 0, min: low, max: high, calculable: false, right: 0, top: "middle", itemHeight: 110, itemWidth: 12, text: [brief(high), brief(low)], textStyle: { color: look.token("--ink-3"), fontSize: 11 }, inRange: { color: scale(study, metric, look) } },
    series: [
      { type: "heatmap", data: cells, progressive: 0, emphasis: { disabled: true }, itemStyle: { borderWidth: 0 } },
      { type: "scatter", ...over, data: trials.filter((trial) => !best.has(trial.number)).map(spot), symbolSize: trials.length > 300 ? 3 : 5, itemStyle: { color: look.token("--ink"), opacity: 0.55 } },
      { type: "scatter", ...over, data: trials.filter((trial) => best.has(trial.number)).map(spot), symbol: "diamond", symbolSize: 13, itemStyle: { color: look.token("--surface"), borderColor: look.token("--ink"), borderWidth: 2 }, z: 5 },
    ],
  };
}

/** Two metrics against each other; the trials that no other one beats in both are joined. */
export function paretoOptions(study, [first, second], look) {
  const trials = study.trials.filter((trial) => trial.state === "complete" && trial.values.length === study.metrics.length);
  const best = new Set(study.best);
  const front = trials.filter((trial) => best.has(trial.number)).sort((a, b) => a.values[first] - b.values[first]);
  const ranges = [first, second].map((metric) => rangeOf(study, metric));
  const [across, up] = ranges.map(hold);
  const spot = (trial) => ({ value: [across(trial.values[first]), up(trial.values[second])], trial: trial.number, ...edge(trial.values[first], ranges[0], -90), ...edge(trial.values[second], ranges[1]) });
  const known = new Map(study.trials.map((trial) => [trial.number, trial]));
  const arrow = (n) => `${study.metrics[n]} (${study.directions[n] === "max" ? "more" : "less"} is better)`;
  return {
    grid: { top: 30, right: 18, bottom: 26, left: 8 },
    legend: { top: 0, right: 0, itemHeight: 8, itemWidth: 14 },
    tooltip: { trigger: "item", formatter: ({ data }) => (data.trial === undefined ? "" : describe(study, known.get(data.trial))) },
    xAxis: { type: "value", scale: true, nameGap: 26, axisLabel: { formatter: spell }, ...axisName(arrow(first), look) },
    yAxis: { type: "value", scale: true, axisLabel: { formatter: spell }, ...upName(arrow(second), look) },
    series: [
      { name: "trials", type: "scatter", data: trials.filter((trial) => !best.has(trial.number)).map(spot), symbolSize: trials.length > 300 ? 4 : 7, itemStyle: { color: look.token("--series-8"), opacity: 0.7 } },
      { name: "no other beats it", type: "line", data: front.map(spot), symbol: "circle", symbolSize: 9, lineStyle: { width: 1.5, type: study.metrics.length > 2 ? [0, 1] : "solid" }, itemStyle: { color: look.token("--series-2") }, z: 3 },
    ],
  };
}

/** Trials whose curves are drawn, the best among them, and where the axis ends before they do. */
function shownCurves(study) {
  const best = new Set(study.best);
  const all = study.trials.filter((trial) => trial.reports.length);
  const shown = [...all.slice(-MOST_CURVES), ...all.slice(0, -MOST_CURVES).filter((trial) => best.has(trial.number))];
  const values = shown.flatMap((trial) => trial.reports.map(([, value]) => value)).filter(Number.isFinite);
  const [low, high] = shownRange(values, study.directions[0]);
  return { best, shown, cut: { ...(values.some((value) => value < low) ? { min: low } : {}), ...(values.some((value) => value > high) ? { max: high } : {}) } };
}

/** What the curves leave out; "" if they do not. */
export function cutNote(study) {
  const { cut } = shownCurves(study);
  return "min" in cut ? `cut off below ${spell(cut.min)}` : "max" in cut ? `cut off above ${spell(cut.max)}` : "";
}

/** What trials reported while they ran: the best thick, pruned ones dashed. */
export function curvesOptions(study, look) {
  const { best, shown, cut } = shownCurves(study);
  const known = new Map(shown.map((trial) => [`trial ${trial.number}`, trial]));
  const style = (trial) => {
    if (best.has(trial.number)) return [look.token("--series-2"), { width: 2.5 }, 4];
    if (trial.state === "pruned") return [look.token("--series-8"), { width: 1, type: [3, 3], opacity: 0.7 }, 1];
    return [look.token("--series-1"), { width: 1, opacity: Math.max(0.15, Math.min(0.7, 30 / shown.length)) }, 2];
  };
  return {
    grid: { top: 10, right: 18, bottom: 26, left: 8 },
    legend: { show: false },
    tooltip: { trigger: "item", formatter: ({ seriesName, value }) => `${describe(study, known.get(seriesName))}\nat ${spell(value[0])}: ${spell(value[1])}` },
    xAxis: { type: "value", min: "dataMin", max: "dataMax", nameGap: 24, splitLine: { show: false }, ...axisName("step", look) },
    yAxis: { type: "value", scale: true, ...cut, axisLabel: { formatter: spell, showMinLabel: !("min" in cut), showMaxLabel: !("max" in cut) } },
    series: shown.map((trial) => {
      const [color, lineStyle, z] = style(trial);
      return { name: `trial ${trial.number}`, type: "line", data: trial.reports, showSymbol: trial.reports.length < 2, symbolSize: 4, triggerLineEvent: true, itemStyle: { color }, lineStyle, z };
    }),
  };
}
