// Whoever types or chooses before the scripts are there, and a browser that puts back what stood in a form, are heard all the same:
// once everybody listens, those fields tell their news again. Scripts that come later still ask `isTouched` when they begin.

const early = new Set();
const note = (event) => early.add(event.target);

/** Is the field not as the server made it? */
export function isTouched(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field instanceof HTMLSelectElement) {
    const usual = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(usual, 0);
  }
  const fresh = field.cloneNode(true);
  fresh.value = field.defaultValue; // a browser may spell it in its own way
  return field.value !== fresh.value;
}

function tellAgain() {
  for (const name of ["input", "change"]) document.removeEventListener(name, note, true);
  for (const field of early) {
    if (!field.isConnected || (field.type === "radio" && !field.checked)) continue;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    if (field instanceof HTMLSelectElement || ["checkbox", "radio", "range"].includes(field.type)) field.dispatchEvent(new Event("change", { bubbles: true }));
  }
  early.clear();
}

if (document.readyState !== "complete") {
  for (const field of document.querySelectorAll("main :is(input:not([type=hidden]), select, textarea)")) if (isTouched(field)) early.add(field);
  for (const name of ["input", "change"]) document.addEventListener(name, note, true);
  document.addEventListener("DOMContentLoaded", tellAgain);
}
