"use strict";
// The columns whose name holds what was typed; without this script all are shown.
const find = document.getElementById("find");
if (find) {
  const rows = [...document.querySelectorAll("table.columns > tbody > tr")];
  const sift = () => {
    const wanted = find.value.trim().toLowerCase();
    for (const row of rows) row.hidden = wanted !== "" && !row.dataset.name.toLowerCase().includes(wanted);
  };
  find.hidden = false;
  find.addEventListener("input", sift);
  sift();
}
