// Draws the figure in `window.fairwayFigure` (a JSON text) with whichever library was loaded before: Plotly or vega-embed.
const place = document.getElementById("figure");
const dark = location.hash === "#dark";
document.documentElement.style.colorScheme = dark ? "dark" : "light";
document.body.style.background = dark ? "#131c24" : "#ffffff";

function say(error) {
  const told = document.createElement("p");
  told.className = "told";
  told.textContent = `This figure cannot be drawn: ${error?.message ?? error}`;
  place.replaceChildren(told);
}

/** A layout for the dark: what the figure says itself stays. */
function darken(layout) {
  const ink = "#e7eef4", line = "#26333f";
  layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.font = { ...layout.font, color: ink };
  const axes = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((name) => /^[xy]axis[0-9]*$/.test(name))]);
  for (const name of axes) layout[name] = { gridcolor: line, zerolinecolor: line, linecolor: line, ...layout[name] };
}

async function drawPlotly(figure) {
  const layout = { ...figure.layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)" };
  delete layout.width;
  layout.margin ??= { t: layout.title ? 64 : 24, r: 24, b: 48, l: 64 };
  if (dark) darken(layout);
  place.replaceChildren();
  const plot = await Plotly.newPlot(place, figure.data ?? [], layout, { responsive: true, displaylogo: false });
  if (figure.frames?.length) await Plotly.addFrames(plot, figure.frames);
}

async function drawVega(spec) {
  await vegaEmbed(place, spec, { actions: false, theme: dark ? "dark" : undefined, config: { background: "transparent" } });
}

(async () => {
  const figure = JSON.parse(window.fairwayFigure);
  if (window.Plotly) await drawPlotly(figure);
  else if (window.vegaEmbed) await drawVega(figure);
  else throw new Error("its library could not be loaded; reload the page");
})().catch(say);
