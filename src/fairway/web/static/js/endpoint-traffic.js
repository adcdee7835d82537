// The sliders for the shares of the traffic: they add up to 100 whatever is moved; nothing happens before "Apply".
import { isTouched } from "./early.js";
import { rebalance, spellTraffic, spellWeight } from "./traffic-model.js";

const same = (one, other) => one.every((weight, n) => weight === other[n]);

/** Bring the form to life. */
export function guideTraffic(form) {
  const rows = [...form.querySelectorAll("[data-revision]")];
  const numbers = rows.map((row) => Number(row.dataset.revision));
  const sliders = rows.map((row) => row.querySelector("input[type=range]"));
  const fields = rows.map((row) => row.querySelector("input[type=number]"));
  const undo = form.querySelector("#traffic-undo");
  const apply = form.querySelector("#traffic-apply");
  const said = form.querySelector("#traffic-said");
  let kept = rows.map((row) => Number(row.dataset.weight)); // as the server has them
  let before = null; // as they were before they were applied
  let shown = kept;
  let base = kept; // as they were when a hand was laid on one of them

  const draw = (except) => {
    shown.forEach((weight, n) => {
      sliders[n].value = weight;
      sliders[n].setAttribute("aria-valuetext", `${spellWeight(weight)} percent`);
      if (fields[n] !== except) fields[n].value = spellWeight(weight);
      rows[n].toggleAttribute("data-moved", weight !== kept[n]);
    });
    const moved = !same(shown, kept);
    apply.disabled = !moved;
    undo.disabled = !moved && !before;
    undo.lastChild.textContent = moved || !before ? "Undo" : "Put it back";
    const text = spellTraffic(form.dataset.command, numbers, shown);
    form.querySelector("#traffic-command code").textContent = text;
    form.querySelector("#traffic-command [data-copy]").dataset.copy = text;
  };
  const move = (n, value, except) => {
    shown = rebalance(base, n, value);
    draw(except);
  };

  form.addEventListener("focusin", () => { base = shown; });
  form.addEventListener("pointerdown", () => { base = shown; });
  sliders.forEach((slider, n) => slider.addEventListener("input", () => move(n, Number(slider.value))));
  sliders.forEach((slider) => slider.addEventListener("change", () => { base = shown; }));
  fields.forEach((field, n) => field.addEventListener("input", () => move(n, Number(field.value), field)));
  fields.forEach((field) => field.addEventListener("change", () => { base = shown; draw(); }));
  undo.addEventListener("click", () => {
    const back = same(shown, kept) && before;
    shown = base = back ? before : kept;
    draw();
    if (back) form.requestSubmit();
    else said.textContent = "As it is now.";
  });
  let sent = kept; // what was in force when they were sent off: news may be here before the answer
  form.addEventListener("htmx:beforeRequest", () => { sent = kept; });
  form.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) return;
    before = sent;
    kept = base = shown;
    said.textContent = `Applied: ${numbers.map((number, n) => [number, shown[n]]).filter(([, weight]) => weight > 0).map(([number, weight]) => `revision ${number} has ${spellWeight(weight)} %`).join(", ")}.`;
    draw();
  });
  /** Somebody else, or a rollout, has changed them: what was not touched here follows. */
  const follow = (weights) => {
    if (!form.isConnected || same(weights, kept)) return;
    const untouched = same(shown, kept);
    kept = weights;
    if (untouched) shown = base = kept;
    draw();
  };
  document.addEventListener("htmx:afterSettle", () => {
    const told = document.getElementById("traffic-now");
    if (told && form.isConnected) follow(numbers.map((number) => Number(JSON.parse(told.dataset.shares)[number] ?? 0)));
  });
  const early = [...sliders, ...fields].map((field, at) => [at % rows.length, Number(field.value), isTouched(field)]);
  draw();
  for (const [n, value, moved] of early) { // before this script was there
    if (moved) move(n, value);
    base = shown;
  }
}
