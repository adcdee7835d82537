// Signs in with the code in the address's fragment, which no server sees, and leaves no trace of it in the history.

const login = document.getElementById("login");
const code = new URLSearchParams(location.hash.slice(1)).get("code");

function show(busy, trouble = "") {
  document.getElementById("login-busy").hidden = !busy;
  document.getElementById("login-ways").hidden = busy;
  const message = document.getElementById("login-trouble");
  if (trouble) message.querySelector("strong").textContent = trouble;
  if (trouble || busy) message.hidden = !trouble;
}

async function signIn() {
  history.replaceState(null, "", location.pathname + location.search);
  show(true);
  const body = new URLSearchParams({ code, next: login.dataset.next });
  try {
    const answer = await fetch("/session", { method: "POST", body, headers: { accept: "application/json" } });
    const told = await answer.json();
    if (answer.ok) return location.replace(told.next);
    show(false, answer.status === 429 ? `Too many tries: ${told.hint}.` : "This link has been used, or its minute is over.");
  } catch {
    show(false, "The server does not answer.");
  }
}

/** Whoever comes by a link on another site comes without the cookie, and has it here. */
async function goOn() {
  const answer = await fetch("/session", { headers: { accept: "application/json" } }).catch(() => null);
  if (answer?.ok && (await answer.json()).user) location.replace(login.dataset.next);
}

if (code) signIn();
else if (document.getElementById("login-trouble").hidden) goOn();
