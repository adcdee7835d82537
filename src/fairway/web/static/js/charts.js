// Charts by ECharts, which is loaded when the first of them comes into view. Colours come from the design tokens.

let loading = null;
const charts = new Map(); // element -> {instance, make}

function load() {
  if (window.echarts) return Promise.resolve(window.echarts);
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../vendor/echarts.min.js", import.meta.url).href;
    script.onload = () => resolve(window.echarts);
    script.onerror = () => reject(new Error("the charts could not be loaded"));
    document.head.append(script);
  });
  return loading;
}

/** The value of a design token, such as "--accent". */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The colours of series, in order. */
export function palette() {
  return [1, 2, 3, 4, 5, 6, 7, 8].map((n) => token(`--series-${n}`));
}

/** What all charts have in common; a chart's own options are laid over it. */
function common() {
  const quiet = token("--ink-3");
  const line = token("--line");
  const axis = { axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, axisLabel: { color: quiet, hideOverlap: true }, splitLine: { lineStyle: { color: line } }, nameTextStyle: { color: quiet } };
  return {
    color: palette(),
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: token("--ink-2"), fontSize: 12 },
    animation: false,
    aria: { enabled: true },
    grid: { left: 8, right: 16, top: 24, bottom: 8, containLabel: true },
    tooltip: { backgroundColor: token("--raised"), borderColor: line, textStyle: { color: token("--ink"), fontSize: 12 }, confine: true, renderMode: "richText" },
    legend: { textStyle: { color: token("--ink-2") }, inactiveColor: token("--idle-fill"), type: "scroll", pageTextStyle: { color: quiet } },
    xAxis: axis, yAxis: axis,
  };
}

function merge(base, over) {
  if (Array.isArray(over) || over === null || typeof over !== "object" || typeof base !== "object" || Array.isArray(base)) return over;
  const made = { ...base };
  for (const [key, value] of Object.entries(over)) made[key] = key in base ? merge(base[key], value) : value;
  return made;
}

function withCommon(options) {
  const base = common();
  const made = { ...base };
  for (const [key, value] of Object.entries(options)) {
    made[key] = Array.isArray(value) && (key === "xAxis" || key === "yAxis" || key === "grid") ? value.map((one) => merge(base[key], one)) : key in base ? merge(base[key], value) : value;
  }
  if (!("xAxis" in options)) delete made.xAxis;
  if (!("yAxis" in options)) delete made.yAxis;
  return made;
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      seen.unobserve(target);
      draw(target);
    }
  }
});

const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) charts.get(target)?.instance?.resize();
});

async function draw(element) {
  const echarts = await load();
  const chart = charts.get(element);
  if (!chart) return;
  chart.instance ??= echarts.init(element, null, { renderer: "canvas" });
  chart.instance.setOption(withCommon(chart.make()), { notMerge: true });
  chart.ready?.(chart.instance);
  sized.observe(element);
}

/**
 * Draw a chart into `element` (which has its size already) once it is in view. `make` returns ECharts options and is called again whenever
 * the colours change. Calling it again for the same element draws the new one. `ready` gets the instance.
 */
export function chart(element, make, ready) {
  const known = charts.get(element);
  charts.set(element, { instance: known?.instance, make, ready });
  if (known?.instance) draw(element);
  else seen.observe(element);
}

/** Let a chart go whose element is taken away. */
export function dropChart(element) {
  charts.get(element)?.instance?.dispose();
  charts.delete(element);
  seen.unobserve(element);
  sized.unobserve(element);
}

function recolour() {
  for (const [element, { instance }] of charts) if (instance) draw(element);
}
document.addEventListener("themechange", recolour);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
document.addEventListener("htmx:beforeCleanupElement", (event) => { if (charts.has(event.detail.elt)) dropChart(event.detail.elt); });
