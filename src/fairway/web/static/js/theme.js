// Before the first paint: the colours that the reader has chosen, if not the system's, and the width of the panel of a task.
(() => {
  try {
    const chosen = localStorage.getItem("fairway-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
    const panel = Number(localStorage.getItem("fairway-panel"));
    if (panel >= 20 && panel <= 75) document.documentElement.style.setProperty("--panel", `${panel}%`);
  } catch { /* storage is switched off: as the system */ }
})();
