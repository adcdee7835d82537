// Figures draw themselves in a frame of their own; they are told light or dark by the address, for nothing else reaches them.

/** Give the frame the colours in force. */
export function showFigure(frame) {
  const base = frame.src.split("#")[0];
  const set = () => {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const wanted = `${base}#${dark ? "dark" : "light"}`;
    if (frame.src !== wanted) frame.src = wanted;
  };
  set();
  document.addEventListener("themechange", set);
}
