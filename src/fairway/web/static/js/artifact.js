// Brings previews to life wherever they appear: on the artifact's page, in the panel of a task, inside folders and lists.
// Each kind's script is loaded when the first of its kind is there.

const KINDS = [
  ["[data-table]", () => import("./artifact-table.js"), "showTable"],
  ["[data-json]", () => import("./json-tree.js"), "showJson"],
  ["[data-drawn]", () => import("./array.js"), "showArray"],
  ["[data-figure]", () => import("./figure.js"), "showFigure"],
  [".lineage-view", () => import("./lineage.js"), "showLineage"],
];

/** Start whatever is new below `root`. */
export function enliven(root) {
  for (const [selector, load, name] of KINDS) {
    const found = [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)].filter((element) => !element.dataset.enlivened);
    for (const element of found) {
      element.dataset.enlivened = "1";
      load().then((module) => module[name](element));
    }
  }
}

document.addEventListener("htmx:afterSettle", (event) => enliven(event.detail.elt));
enliven(document.body);
