// The form that sends a request: drawn from the schema, or JSON or CSV as it is written. The answer comes through this server.
import { bodyOf, describe, faultsOf, firstValue, readText, spellCurl, spellValue, toCsv, usual } from "./try-model.js";

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === undefined || value === null) continue;
    if (key === "text") element.textContent = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

let numbers = 0;

/** A field's part of the page. `read()` gives its value (undefined: left out) or throws; `mark(path, text)` says what is wrong with it. */
class FieldView {
  constructor(field, value) {
    this.field = field;
    this.id = `try-f${++numbers}`;
    this.children = [];
    if (field.kind === "object") this.drawObject(value);
    else if (field.kind === "list") this.drawList(value);
    else this.drawValue(value);
  }

  drawObject(value) {
    const { field } = this;
    this.children = field.children.map((one) => new FieldView(one, value?.[one.name]));
    const grid = make("div", { class: "ep-grid" }, ...this.children.map((one) => one.element));
    if (!field.name && !this.inList) { this.element = grid; return; }
    this.element = make("fieldset", { class: "ep-broad" }, make("legend", { text: field.title || field.name }), grid);
    if (field.nullable || !field.required) this.addSwitch(this.element, grid, value);
  }

  drawList(value) {
    const { field } = this;
    const items = make("div", { class: "stack" });
    const add = make("button", { type: "button", class: "button", text: `Add to ${field.name || "the list"}` });
    this.items = [];
    const put = (one) => {
      const view = new FieldView({ ...field.item, name: field.item.name || `${field.name} ${this.items.length + 1}`, required: true, nullable: false }, one);
      const gone = make("button", { type: "button", class: "button bare", text: "Take away" });
      gone.addEventListener("click", () => { this.items = this.items.filter((other) => other !== view); view.element.remove(); add.focus(); });
      view.element.append(gone);
      this.items.push(view);
      items.append(view.element);
      return view;
    };
    for (const one of Array.isArray(value) ? value : []) put(one);
    add.addEventListener("click", () => put(usual(field.item))?.element.querySelector("input, select, textarea")?.focus());
    this.element = make("fieldset", { class: "ep-broad" }, make("legend", { text: field.title || field.name }), items, add);
  }

  drawValue(value) {
    const { field, id } = this;
    const text = spellValue(value);
    const told = [field.help, field.limits].filter(Boolean).join("; ");
    const common = { id, autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-h` };
    if (field.kind === "choice" || field.kind === "boolean") {
      const choices = (field.choices ?? [true, false]).map(spellValue);
      this.input = make("select", { ...common, class: "input" }, ...(field.required && !field.nullable ? [] : [make("option", { value: "", text: "–" })]), ...choices.map((one) => make("option", { value: one, text: one })));
      this.input.value = choices.includes(text) ? text : field.required && !field.nullable ? choices[0] : "";
    } else if (field.kind === "json" || text.length > 60) {
      this.input = make("textarea", { ...common, class: "input mono", rows: String(Math.min(8, Math.max(2, text.split("\n").length))) });
      this.input.value = field.kind === "json" && value !== undefined ? JSON.stringify(value) : text;
    } else {
      this.input = make("input", { ...common, class: "input", type: "text", inputmode: { number: "decimal", integer: "numeric" }[field.kind] });
      this.input.value = text;
    }
    const label = make("label", { for: id, text: `${field.title || field.name || "value"} ` }, make("span", { class: "type", text: [field.kind === "choice" ? `one of ${field.choices.length}` : field.type || "any JSON", field.nullable ? "or null" : "", field.required ? "" : "may be left out"].filter(Boolean).join(", ") }));
    const line = make("div", { class: "ep-value" }, this.input);
    this.wrong = make("p", { class: "wrong", hidden: true });
    const help = make("div", { id: `${id}-h` }, this.wrong, ...(told ? [make("p", { class: "help", text: told })] : []));
    this.element = make("div", { class: `field${field.kind === "json" || text.length > 60 ? " ep-broad" : ""}` }, label, line, help);
    if (field.nullable) this.addSwitch(line, null, value);
  }

  /** A box for "null": what cannot be written as a text. */
  addSwitch(place, part, value) {
    const word = this.field.nullable ? "null" : "left out";
    this.isNull = make("input", { type: "checkbox", "aria-label": `${this.field.name}: ${word}` });
    this.isNull.checked = value === null || (part !== null && value === undefined && !this.field.required);
    const turn = () => { if (part) part.hidden = this.isNull.checked; else this.input.disabled = this.isNull.checked; };
    this.isNull.addEventListener("change", turn);
    turn();
    const box = make("label", { class: "ep-null" }, this.isNull, word);
    if (part) place.insertBefore(box, part);
    else place.append(box);
  }

  /** `isAsked` false: nobody has sent it yet, so what is still empty is not marked. */
  read(isAsked = true) {
    if (this.isNull?.checked) return this.field.nullable ? null : undefined;
    if (this.field.kind === "object") {
      const some = this.children.map((one) => [one.field.name, one.read(isAsked)]).filter(([, value]) => value !== undefined);
      return Object.fromEntries(some);
    }
    if (this.field.kind === "list") return this.items.map((one) => one.read(isAsked));
    try {
      const value = readText(this.field, this.input.value);
      this.say("");
      return value;
    } catch (error) {
      if (isAsked || this.input.value.trim()) this.say(error.message);
      throw error;
    }
  }

  say(text) {
    this.wrong.textContent = text;
    this.wrong.hidden = !text;
    this.input.toggleAttribute("aria-invalid", false);
    if (text) this.input.setAttribute("aria-invalid", "true");
  }

  /** All fields that hold one value. */
  * leaves() {
    if (this.input) yield this;
    for (const one of this.items ?? this.children) yield* one.leaves();
  }

  /** The field that a path ("address/city", "/address/city", "address.city") leads to. */
  find(path) {
    const [first, ...rest] = path.replace(/^\//, "").split(/[/.]/);
    const found = (this.items ?? []).at(Number(first)) ?? this.children.find((one) => one.field.name === first);
    return found && rest.length ? found.find(rest.join("/")) : found;
  }
}

/** Bring the form to life. */
export function guideTrying(root) {
  const { schema, example, takes_body: isBare } = JSON.parse(document.getElementById("try-schema").textContent);
  const form = describe(schema);
  const find = (id) => root.querySelector(`#try-${id}`);
  let kind = form ? "form" : "json";
  let view = null;

  const draw = (value) => {
    view = form && new FieldView(form.field, value);
    find("fields").replaceChildren(...(view ? [view.element] : []));
  };
  const show = (wanted) => {
    kind = wanted;
    for (const button of root.querySelectorAll("[data-kind]")) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    for (const part of root.querySelectorAll("[data-shows]")) part.hidden = part.dataset.shows !== kind;
  };
  /** [kind, body]; throws what is wrong. */
  const read = (isAsked = true) => {
    if (kind === "csv") return ["csv", toCsv(find("csv").value)];
    if (kind === "json") return ["json", find("json").value];
    for (const leaf of view.leaves()) leaf.say("");
    let first = null;
    for (const leaf of view.leaves()) if (!leaf.isNull?.checked && leaf.element.getClientRects().length) try { leaf.read(isAsked); } catch { first ??= leaf; }
    if (isAsked) first?.input.focus();
    return ["json", JSON.stringify(bodyOf(form, view.read(isAsked), isBare))];
  };
  const complain = (text) => { find("wrong").textContent = text; find("wrong").hidden = !text; };
  const drawCurl = () => {
    try {
      const [sent, body] = read(false);
      const text = spellCurl(root.dataset.url, sent, body, root.dataset.keyed !== undefined);
      find("curl").textContent = text;
      find("curl-copy").dataset.copy = text;
    } catch { /* it follows when what is wrong is mended */ }
  };

  const answer = (told) => {
    const facts = [make("strong", { class: told.status < 400 ? "good-text" : "bad-text", text: String(told.status) })];
    if (told.revision) facts.push(make("span", { text: `revision ${told.revision}` }));
    facts.push(make("span", { text: `${told.took_ms} ms` }));
    if (told.id) facts.push(make("span", { class: "mono", text: told.id }));
    find("facts").replaceChildren(...facts);
    let value = null, text = told.body;
    try {
      value = JSON.parse(told.body);
      text = JSON.stringify(value, null, 2);
    } catch { /* shown as it is */ }
    const parts = [];
    const faults = faultsOf(value);
    if (value?.error) parts.push(make("p", { class: "wrong", text: value.error.message ?? "It was refused" }));
    if (value?.error?.hint) parts.push(make("p", { class: "quiet small", text: value.error.hint }));
    const untold = faults.filter((one) => !String(value.error.message).includes(one.text));
    if (untold.length) parts.push(make("ul", { class: "ep-faults" }, ...untold.map((one) => make("li", { text: `${one.row >= 0 ? `row ${one.row}, ` : ""}${one.field ? `${one.field}: ` : ""}${one.text}` }))));
    parts.push(make("pre", { class: "ep-answer", tabindex: "0", "aria-label": "The answer’s body", text: text.slice(0, 200_000) || "(empty)" }));
    if (told.cut) parts.push(make("p", { class: "quiet small", text: `${told.cut} bytes more are not shown` }));
    find("answer").replaceChildren(...parts);
    find("answer").closest("section").scrollIntoView({ block: "nearest" });
    if (kind !== "form") return;
    let first = null;
    for (const { field, text: said } of faults) {
      const leaf = view.find(field);
      if (leaf?.input) { leaf.say(said); first ??= leaf; }
    }
    first?.input.focus();
  };

  const send = async () => {
    complain("");
    let sent, body;
    try {
      [sent, body] = read();
    } catch (error) {
      complain(kind === "form" ? "Mend what is marked." : error.message);
      return;
    }
    drawCurl();
    const button = find("form").querySelector("button.main");
    button.disabled = true;
    const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF-Token"];
    try {
      const response = await fetch(root.dataset.send, {
        method: "POST", headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json", "x-csrf-token": token },
        body: new URLSearchParams({ body, kind: sent, revision: find("revision")?.value ?? "0" }),
      });
      const told = await response.json();
      if (response.ok) answer(told);
      else complain([told.detail, told.hint].filter(Boolean).join("; ") || `The server answered ${response.status}`);
    } catch {
      complain("The server does not answer; is it running?");
    } finally {
      button.disabled = false;
    }
  };

  const begin = () => {
    draw(form ? firstValue(form, example) : undefined);
    find("json").value = JSON.stringify(form ? bodyOf(form, firstValue(form, example), isBare) : example ?? { inputs: [] }, null, 2);
    drawCurl();
  };
  root.addEventListener("click", (event) => {
    const wanted = event.target.closest("[data-kind]")?.dataset.kind;
    if (!wanted) return;
    if (wanted === "json" && kind === "form") try { find("json").value = JSON.stringify(JSON.parse(read(false)[1]), null, 2); } catch { /* it stays as it was */ }
    show(wanted);
    drawCurl();
  });
  find("example").addEventListener("click", begin);
  find("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  find("form").addEventListener("input", drawCurl);
  find("form").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); } });
  begin();
  show(kind);
  if (!form) root.querySelector("[data-kind=form]").disabled = true;
  find("example").hidden = example === null || example === undefined;
}
