// What is done to a run: dialogs come when they are asked for, say what they will do, and go when it is done.
import { say } from "./app.js";

document.addEventListener("htmx:afterSettle", () => {
  const dialogs = [...document.querySelectorAll("dialog#act")];
  for (const old of dialogs.slice(0, -1)) old.remove();
  const dialog = dialogs[dialogs.length - 1];
  if (!dialog || dialog.open) return;
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  (dialog.querySelector("[autofocus]") ?? dialog.querySelector(".dialog-foot button"))?.focus();
});
document.addEventListener("fairway:done", (event) => {
  document.getElementById("act")?.close();
  say(event.detail.text);
});
document.addEventListener("click", (event) => {
  const closes = event.target instanceof Element ? event.target.closest("#act a[data-closes]") : null;
  if (closes) event.preventDefault();
});
