// What the filter's box offers while one types: states, names of pipelines, tags, people, parameters and metrics.

const KEYS = { "pipeline:": "pipelines", "tag:": "tags", "by:": "users", "on:": "targets", "project:": "projects" };
const OTHERS = [["since:1d", "started in the last day"], ["since:7d", "started in the last week"], ["duration>10m", "took longer"], ["archived", "only archived ones"], ["sort:duration", "longest first"]];
const LIMIT = 12;

/** The part of `text` that the caret is in: where it begins, and what stands there until the caret. */
export function partAt(text, caret) {
  let quoted = false;
  let start = 0;
  for (let at = 0; at < caret; at += 1) {
    if (text[at] === "\\" && quoted) at += 1;
    else if (text[at] === '"') quoted = !quoted;
    else if (!quoted && /\s/.test(text[at])) start = at + 1;
  }
  return { start, part: text.slice(start, caret) };
}

/** A name as it is written in a query. */
export function spell(name) {
  return /^[^\s"\\=<>~:,!-][^\s"\\=<>~:,!]*$/.test(name) ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`;
}

/** [text, explanation, is it whole] of what `part` could become. */
export function offers(part, facets) {
  const lower = part.toLowerCase();
  const key = Object.keys(KEYS).find((one) => lower.startsWith(one));
  if (key) {
    const begun = lower.slice(key.length).replace(/^"/, "");
    const fits = facets[KEYS[key]].filter((name) => name.toLowerCase().includes(begun));
    fits.sort((a, b) => Number(b.toLowerCase().startsWith(begun)) - Number(a.toLowerCase().startsWith(begun)));
    return fits.slice(0, LIMIT).map((name) => [key + spell(name), "", true]);
  }
  const all = [
    ...facets.states.map((name) => [name, "state", true]),
    ...Object.entries(KEYS).filter(([name, kind]) => facets[kind].length > (["pipeline:", "tag:"].includes(name) ? 0 : 1)).map(([name, kind]) => [name, facets[kind].slice(0, 3).join(", "), false]),
    ...facets.metrics.map((name) => [`${spell(name)}>`, "metric", false]),
    ...facets.params.map((name) => [`${spell(name)}=`, "parameter", false]),
    ...OTHERS.map(([text, said]) => [text, said, true]),
    ...facets.pipelines.filter(() => part).map((name) => [`pipeline:${spell(name)}`, "pipeline", true]),
    ...facets.tags.filter(() => part).map((name) => [`tag:${spell(name)}`, "tag", true]),
  ];
  const fits = all.filter(([text]) => text.toLowerCase() !== lower && (text.toLowerCase().startsWith(lower) || (part.length > 1 && text.toLowerCase().includes(lower))));
  return fits.slice(0, LIMIT);
}

/** Make `box` offer them in `list`, as a combobox does. */
export function suggestions(box, list) {
  let facets = null;
  let shown = [];
  let at = -1;
  let asking = null;

  function load() {
    asking ??= fetch("/facets.json", { headers: { Accept: "application/json" } }).then((answer) => (answer.ok ? answer.json() : null)).then((found) => {
      facets = found;
      if (document.activeElement === box) draw();
    }).catch(() => { asking = null; });
  }

  function draw() {
    if (!facets) return;
    shown = box.selectionStart === box.selectionEnd ? offers(partAt(box.value, box.selectionStart).part, facets) : [];
    at = -1;
    list.replaceChildren(...shown.map(([text, said], number) => {
      const row = document.createElement("li");
      row.id = `suggestion-${number}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", "false");
      row.textContent = text;
      const note = document.createElement("span");
      note.textContent = said;
      if (said) row.append(note);
      return row;
    }));
    list.hidden = !shown.length;
    box.setAttribute("aria-expanded", String(!list.hidden));
    box.removeAttribute("aria-activedescendant");
  }

  function close() {
    list.hidden = true;
    at = -1;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  function move(by) {
    at = (at + by + shown.length + (at < 0 && by < 0 ? 1 : 0)) % shown.length;
    for (const [number, row] of [...list.children].entries()) {
      row.setAttribute("aria-selected", String(number === at));
      if (number === at) row.scrollIntoView({ block: "nearest" });
    }
    box.setAttribute("aria-activedescendant", `suggestion-${at}`);
  }

  function take(number) {
    const [text, , whole] = shown[number];
    const { start } = partAt(box.value, box.selectionStart);
    const rest = box.value.slice(box.selectionStart).replace(/^\S*\s*/, "");
    const before = box.value.slice(0, start) + text + (whole ? " " : "");
    box.value = before + rest;
    box.setSelectionRange(before.length, before.length);
    box.dispatchEvent(new Event("input", { bubbles: true }));
    if (whole) close();
  }

  box.addEventListener("focus", () => { load(); draw(); });
  box.addEventListener("click", draw);
  box.addEventListener("input", () => { load(); draw(); });
  box.addEventListener("blur", close);
  list.addEventListener("mousedown", (event) => {
    event.preventDefault();
    const row = event.target.closest("li");
    if (row) take([...list.children].indexOf(row));
  });
  box.addEventListener("keydown", (event) => {
    if (list.hidden) {
      if (event.key === "ArrowDown") { draw(); event.preventDefault(); }
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") move(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Enter" && at >= 0) take(at);
    else if (event.key === "Tab" && at >= 0) take(at);
    else if (event.key === "Escape") close();
    else {
      if (event.key === "Enter") close();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
}
