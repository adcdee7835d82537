// The lineage's graph is drawn by the server; here it is only brought into view.

/** Begin with the artifact itself in the middle. */
export function showLineage(view) {
  const subject = view.querySelector(".subject");
  if (!subject) return;
  const box = subject.getBoundingClientRect(), frame = view.getBoundingClientRect();
  view.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
  view.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
}
