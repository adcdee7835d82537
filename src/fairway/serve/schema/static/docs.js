// The page /docs: sends what stands in the form, shows the answer, and puts each fault beside its field.
import { bodyOf, commandOf, pretty } from "./request.js";

const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const form = /** @type {HTMLFormElement} */ (find("form"));
const text = /** @type {HTMLTextAreaElement} */ (find("text"));
const controls = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll(".value")]);
const methods = /** @type {HTMLSelectElement | null} */ (document.getElementById("method"));
const key = /** @type {HTMLInputElement} */ (find("key"));
const tabs = [find("tab-fields"), find("tab-json")].filter(Boolean);
let isForm = controls.length > 0;

/** @returns {import("./request.js").Field[]} */
const fields = () =>
  controls.map((control) => ({
    name: control.dataset.name ?? "",
    type: control.dataset.type ?? "any",
    text: control.value,
    isChoice: control instanceof HTMLSelectElement,
    isOptional: control.dataset.optional === "1",
    isNullable: control.dataset.nullable === "1",
  }));

const body = () => (isForm ? bodyOf(fields(), form.dataset.kind ?? "", form.dataset.body === "1") : text.value);

/** Relative to the page, wherever it is reached. */
const url = () => {
  const found = new URL("predict", document.baseURI.replace(/\/$/, ""));
  if (methods && methods.value) found.searchParams.set("method", methods.value);
  return found.href;
};

function showCommand() {
  find("curl").textContent = commandOf(url(), body(), key.value !== "" || !find("key-field").hidden);
}

function clearFaults() {
  find("faults").hidden = true;
  for (const control of controls) {
    control.removeAttribute("aria-invalid");
    const place = control.parentElement?.querySelector(".fault");
    if (place instanceof HTMLElement) place.hidden = true;
  }
}

/** @param {{row: number, field: string, came: string, expected: string}[]} faults @param {string} message */
function showFaults(faults, message) {
  const list = find("faults");
  const lines = [line(message, "first")];
  for (const fault of faults) {
    const told = `came ${fault.came}, expected ${fault.expected}`;
    const control = isForm ? controls.find((one) => one.dataset.name === fault.field || fault.field.startsWith(`${one.dataset.name}/`) || fault.field.startsWith(`${one.dataset.name}[`)) : undefined;
    const place = control?.parentElement?.querySelector(".fault");
    if (control && place instanceof HTMLElement) {
      control.setAttribute("aria-invalid", "true");
      place.textContent = told;
      place.hidden = false;
    } else {
      const where = [fault.row >= 0 ? `row ${fault.row}` : "", fault.field ? `field '${fault.field}'` : ""].filter(Boolean).join(", ");
      lines.push(line(where ? `${where}: ${told}` : told, ""));
    }
  }
  list.replaceChildren(...lines);
  list.hidden = false;
  const first = controls.find((one) => one.getAttribute("aria-invalid") === "true");
  if (first) first.focus();
}

/** @param {string} said @param {string} kind */
function line(said, kind) {
  const made = document.createElement("p");
  made.textContent = said;
  made.className = kind;
  return made;
}

/** @param {string} said @param {"good" | "bad" | ""} kind */
function showStatus(said, kind) {
  find("status").textContent = said;
  find("status").className = `status ${kind}`;
}

/** @param {SubmitEvent} event */
async function send(event) {
  event.preventDefault();
  clearFaults();
  showCommand();
  const button = /** @type {HTMLButtonElement} */ (find("send"));
  button.disabled = true;
  const began = performance.now();
  try {
    /** @type {Record<string, string>} */
    const headers = { "content-type": "application/json", accept: "application/json" };
    if (key.value) headers.authorization = `Bearer ${key.value}`;
    const answer = await fetch(url(), { method: "POST", headers, body: body() });
    const said = await answer.text();
    const took = Math.max(1, Math.round(performance.now() - began));
    const id = answer.headers.get("fairway-request-id");
    showStatus(`${answer.status}${answer.ok ? "" : answer.status < 500 ? " refused" : " failed"} · ${took} ms${id ? ` · id ${id}` : ""}`, answer.ok ? "good" : "bad");
    find("answer").textContent = pretty(said);
    if (answer.status === 401) find("key-field").hidden = false;
    if (!answer.ok) explain(said);
  } catch (error) {
    showStatus("no answer", "bad");
    find("answer").textContent = `The server could not be reached: ${error instanceof Error ? error.message : error}`;
  } finally {
    button.disabled = false;
  }
}

/** @param {string} said */
function explain(said) {
  try {
    const { error } = JSON.parse(said);
    showFaults(error.faults ?? [], error.hint ? `${error.message}. ${error.hint}` : error.message);
  } catch {
    showFaults([], "The server answered with an error; see below.");
  }
}

/** @param {boolean} toForm */
function choose(toForm) {
  if (isForm && !toForm) text.value = pretty(body());
  isForm = toForm;
  find("fields").hidden = !toForm;
  find("json").hidden = toForm;
  tabs.forEach((tab, number) => {
    tab.setAttribute("aria-selected", String((number === 0) === toForm));
    tab.tabIndex = (number === 0) === toForm ? 0 : -1;
  });
  clearFaults();
  showCommand();
}

tabs.forEach((tab, number) => {
  tab.addEventListener("click", () => choose(number === 0));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    choose(number !== 0);
    tabs[1 - number].focus();
  });
});
form.addEventListener("submit", send);
form.addEventListener("input", showCommand);
find("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(find("curl").textContent ?? "");
  find("copy").textContent = "Copied";
});
if (tabs.length) tabs[1].tabIndex = -1;
showCommand();
