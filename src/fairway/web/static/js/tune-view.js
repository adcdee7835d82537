// A search on a page: facts, pictures, the table of trials. The same for the dashboard and for a report that is one file: `host` draws charts.
import { beyondNote, complete, contourOptions, curvesOptions, cutNote, historyOptions, importanceOptions, paretoOptions, parallelOptions, spell } from "./tune-charts.js";

const ROWS = 100;
const STATES = ["complete", "running", "pruned", "failed", "cancelled", "interrupted", "waiting"];

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/**
 * Show a search in `root`; returns a function that shows what is new of it.
 * `host`: {chart(element, make, ready), dropChart(element), look: {token, palette}, taskUrl(address) -> string}.
 */
export function showStudy(root, study, host) {
  const view = new StudyView(root, host);
  view.update(study);
  return (newer) => view.update(newer);
}

class StudyView {
  constructor(root, host) {
    this.root = root;
    this.host = host;
    this.metric = 0;
    this.pair = null; // of the contour
    this.sort = { by: "number", down: true };
    this.rows = ROWS;
    this.figures = new Map();
    this.facts = make("dl", { class: "tune-facts" });
    this.tools = make("div", { class: "tune-tools line" });
    this.charts = make("div", { class: "tune-charts" });
    this.table = make("div", { class: "tune-table" });
    root.replaceChildren(this.facts, this.tools, this.charts, this.table);
    this.table.addEventListener("click", (event) => this.onTable(event));
  }

  update(study) {
    this.study = study;
    this.drawFacts();
    this.drawTools();
    this.drawCharts();
    this.drawTable();
  }

  drawFacts() {
    const { study } = this;
    const counts = new Map(STATES.map((state) => [state, study.trials.filter((trial) => trial.state === state).length]));
    const told = STATES.filter((state) => counts.get(state) && state !== "complete").map((state) => `${counts.get(state)} ${state}`).join(", ");
    const fact = (name, value, more = "") => make("div", {}, make("dt", {}, name), make("dd", {}, value, more && " ", more && make("span", { class: "quiet" }, more)));
    const best = study.trials.filter((trial) => study.best.includes(trial.number));
    const facts = [fact("Trials", String(study.trials.length), [study.asked > study.trials.length ? `of ${study.asked}` : "", told].filter(Boolean).join(", "))];
    if (study.metrics.length === 1 && best.length) {
      const [one] = best;
      facts.push(fact(`Best ${study.metrics[0]}`, spell(one.values[0]), `trial ${one.number}`));
      facts.push(fact("With", make("span", { class: "mono tune-params" }, study.params.map(({ name }) => `${name}=${spell(one.params[name])}`).join("  "))));
    } else if (best.length) facts.push(fact("No other beats", String(best.length), best.length === 1 ? "trial" : "trials"));
    facts.push(fact("Sampler", study.sampler || "–", study.pruner ? `with pruner ${study.pruner}` : ""));
    this.facts.replaceChildren(...facts);
  }

  drawTools() {
    const { study } = this;
    if (study.metrics.length < 2 || this.tools.children.length) return;
    const select = make("select", { name: "metric" }, ...study.metrics.map((name, n) => make("option", { value: n }, name)));
    select.addEventListener("change", () => { this.metric = Number(select.value); this.drawCharts(); });
    this.tools.append(make("label", { class: "line" }, "Metric ", select));
  }

  drawCharts() {
    const { study, metric } = this;
    const { look } = this.host;
    const whole = complete(study, metric);
    const numbers = study.params.length;
    const note = [study.metrics[metric], beyondNote(study, metric)].filter(Boolean).join("  ·  ");
    this.figure("history", "History", note, whole.length || study.trials.some((trial) => trial.state === "failed" || trial.values.length), () => historyOptions(study, metric, look), study.metrics.length > 1 ? "" : "wide");
    this.figure("pareto", "Pareto front", "What can be had of one metric for the other.", study.metrics.length > 1 && whole.length > 1, () => paretoOptions(study, [metric, metric === 0 ? 1 : 0], look));
    const shares = Object.keys(study.importance[study.metrics[metric]] ?? {}).length;
    const beside = numbers > 1 && whole.length > 2; // the contour, which else would stand beside nothing
    const why = whole.length < study.fewest ? `Told from ${study.fewest} complete trials on; there ${whole.length === 1 ? "is" : "are"} ${whole.length}.` : "The best trials chose their parameters as all others did: none of them stands out.";
    this.figure("importance", "Importance", "How differently the best quarter of the trials chose each parameter (PED-ANOVA).", shares > 0 || beside, shares ? () => importanceOptions(study, metric, look) : why);
    this.figure("contour", "Contour", "", beside, () => contourOptions(study, metric, this.chosenPair(), look));
    this.figure("parallel", "Parallel coordinates", "Drag along an axis to choose a range.", numbers > 0 && whole.length > 1, () => parallelOptions(study, metric, look), "wide");
    this.figure("curves", "While they ran", [study.metrics[0], cutNote(study)].filter(Boolean).join("  ·  "), study.trials.some((trial) => trial.reports.length > 1), () => curvesOptions(study, look), "wide");
    if (!this.figures.size) this.charts.replaceChildren(make("p", { class: "nothing quiet" }, study.trials.length ? "Pictures appear when the first trials are complete." : "No trial has begun yet."));
    else this.charts.querySelector(".nothing")?.remove();
    this.fillRows();
  }

  /** A picture of half a row that has none beside it gets the whole row. */
  fillRows() {
    const alone = new Set();
    let open = null;
    for (const one of this.figures.size ? this.charts.children : []) {
      if (!one.classList.contains("wide")) open = open ? null : one;
      else if (open) open = void alone.add(open);
    }
    if (open) alone.add(open);
    for (const one of this.charts.children) one.classList.toggle("alone", alone.has(one));
  }

  /** `options` makes those of a chart; a text stands in its place. */
  figure(key, title, note, wanted, options, width = "") {
    let known = this.figures.get(key);
    const text = typeof options === "string" ? options : "";
    if (known && (!wanted || (known.querySelector(".chart") === null) !== Boolean(text))) {
      const drawn = known.querySelector(".chart");
      if (drawn) this.host.dropChart?.(drawn);
      known.remove();
      this.figures.delete(key);
      known = null;
    }
    if (!wanted) return;
    if (known && (key === "history" || key === "curves")) known.querySelector(".small").textContent = note;
    if (!known) {
      const head = make("figcaption", {}, make("span", { class: "tune-title" }, title), note ? make("span", { class: "small quiet" }, note) : null);
      if (key === "contour") head.append(this.pairTools());
      known = make("figure", { class: `tune-figure ${width}`, "data-plot": key }, head, text ? make("p", { class: "tune-none quiet" }) : make("div", { class: "chart" }));
      if (key === "parallel") known.tabIndex = 0; // it scrolls sideways where it has no room: by the keyboard, too
      this.figures.set(key, known);
      this.charts.append(known);
      const order = ["history", "pareto", "importance", "contour", "parallel", "curves"];
      this.charts.append(...order.map((one) => this.figures.get(one)).filter(Boolean));
    }
    if (text) {
      known.querySelector(".tune-none").textContent = text;
      return;
    }
    this.host.chart(known.querySelector(".chart"), options, (instance) => {
      instance.off("click");
      instance.on("click", ({ data, seriesName }) => this.point(data?.trial ?? (/^trial \d+$/.test(seriesName) ? Number(seriesName.slice(6)) : undefined)));
    });
  }

  chosenPair() {
    if (this.pair) return this.pair;
    const rank = this.study.importance[this.study.metrics[this.metric]] ?? {};
    const names = this.study.params.map((param) => param.name).sort((a, b) => (rank[b] ?? 0) - (rank[a] ?? 0));
    const numbers = names.filter((name) => this.study.params.find((param) => param.name === name).kind === "number");
    return numbers.length > 1 ? [numbers[0], numbers[1]] : [names[0], names[1]];
  }

  pairTools() {
    const chosen = this.chosenPair();
    const selects = chosen.map((name, n) => {
      const select = make("select", { "aria-label": n ? "Up" : "Across" }, ...this.study.params.map((param) => make("option", { value: param.name, selected: param.name === name }, param.name)));
      select.addEventListener("change", () => { this.pair = selects.map((one) => one.value); this.drawCharts(); });
      return select;
    });
    return make("span", { class: "line tune-pair" }, ...selects);
  }

  /** Bring the trial's row into view. */
  point(number) {
    if (number === undefined) return;
    if (!this.table.querySelector(`[data-trial="${number}"]`)) {
      this.rows = Infinity;
      this.drawTable();
    }
    for (const row of this.table.querySelectorAll(".is-pointed")) row.classList.remove("is-pointed");
    const row = this.table.querySelector(`[data-trial="${number}"]`);
    row?.classList.add("is-pointed");
    row?.scrollIntoView({ block: "center" });
  }

  onTable(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.sort) {
      const by = button.dataset.sort;
      this.sort = { by, down: this.sort.by === by ? !this.sort.down : false };
    } else if (button.dataset.more) this.rows = Infinity;
    this.drawTable();
  }

  sorted() {
    const { by, down } = this.sort;
    const kind = by.slice(0, 2);
    const name = by.slice(2);
    const value = (trial) => (kind === "v:" ? trial.values[Number(name)] : kind === "p:" ? trial.params[name] : trial[by]);
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    return [...this.study.trials].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined) || one.number - other.number;
      return (down ? -1 : 1) * compare(a, b) || one.number - other.number;
    });
  }

  drawTable() {
    const { study } = this;
    if (!study.trials.length) {
      this.table.replaceChildren();
      return;
    }
    const columns = [["number", "Trial", true], ["state", "State", false], ...study.metrics.map((name, n) => [`v:${n}`, name, true]), ...study.params.map(({ name, kind }) => [`p:${name}`, name, kind === "number"]), ["took", "Took", true]];
    const head = make("tr", {}, ...columns.map(([key, title, right]) => make("th", { class: right ? "number" : "", "aria-sort": this.sort.by === key ? (this.sort.down ? "descending" : "ascending") : false }, make("button", { type: "button", class: "tune-sort", "data-sort": key }, title, this.sort.by === key ? (this.sort.down ? " ↓" : " ↑") : ""))));
    const all = this.sorted();
    const best = new Set(study.best);
    const rows = all.slice(0, this.rows).map((trial) => this.row(trial, best.has(trial.number)));
    const left = this.host.scrolled ? this.table.firstElementChild?.scrollLeft ?? 0 : 0;
    const scroll = make("div", { class: "tune-scroll", tabindex: "0", role: "region", "aria-label": "Trials" }, make("table", { class: "table" }, make("thead", {}, head), make("tbody", {}, ...rows)));
    this.table.replaceChildren(scroll, ...(all.length > rows.length ? [make("p", {}, make("button", { type: "button", class: "button", "data-more": "1" }, `All ${all.length.toLocaleString("en")} trials`))] : []));
    scroll.scrollLeft = left;
  }

  row(trial, isBest) {
    const { study, host } = this;
    const url = host.taskUrl(trial.task);
    const number = url ? make("a", { href: url }, String(trial.number)) : String(trial.number);
    const took = trial.took >= 0.0005 ? host.spellDuration(trial.took) : "–";
    const state = make("span", { class: "tune-state", "data-trial-state": trial.state, title: trial.error ?? false }, trial.state);
    return make("tr", { class: isBest ? "is-best" : "", "data-trial": trial.number },
      make("th", { scope: "row", class: "number" }, number, isBest ? make("span", { class: "tune-best" }, "best") : null),
      make("td", {}, state, trial.error ? make("span", { class: "small quiet clip tune-error" }, ` ${trial.error}`) : null),
      ...study.metrics.map((_, n) => make("td", { class: "number" }, spell(trial.values[n]))),
      ...study.params.map(({ name, kind }) => make("td", { class: kind === "number" ? "number" : "mono" }, spell(trial.params[name]))),
      make("td", { class: "number" }, took));
  }
}

