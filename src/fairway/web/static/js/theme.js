// Before the first paint: the colours that the reader has chosen, if not the system's.
(() => {
  try {
    const chosen = localStorage.getItem("fairway-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch { /* storage is switched off: as the system */ }
})();
