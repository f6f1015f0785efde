// Who may not look, and why: a token is asked for where one would help, and else it is said what stands in the way.

import { token } from "./api.js";
import { h } from "./dom.js";

const ASKS = "The API wants a token: one of the [[admin.token]] of the config. Its scope says what you may do here: read looks, operate changes.";

/** The page instead of all others; `begin()` tries again. */
export function signIn(problem, begin) {
  // 403 without a token: no token would do. There are none in the config, and this connection, its Host or a proxy is refused.
  if (problem.status === 403 && !token.get()) return blocked(problem, begin);
  const field = h("input", { type: "password", name: "token", required: true, autocomplete: "current-password" });
  const keep = h("input", { type: "checkbox", name: "remember" });
  const told = h("p", { role: token.get() ? "alert" : null, class: token.get() ? "alarm" : null }, token.get() ? problem.message : ASKS);
  const submit = (event) => {
    event.preventDefault();
    const given = field.value.trim();
    const wrong = token.wrong(given);
    if (wrong !== undefined) {
      told.className = "alarm";
      told.setAttribute("role", "alert");
      told.textContent = `A token has only letters, digits and signs of ASCII, without spaces, and this one has “${wrong}”: copy it again from where it is kept.`;
      return field.focus();
    }
    token.set(given, keep.checked);
    begin();
  };
  const form = h("form", { class: "card", submit }, h("h1", null, "Who are you?"), told, h("label", null, "Token", field),
    h("label", { class: "check" }, keep, "Keep it in this browser, not only in this tab"), h("div", { class: "row" }, h("button", { type: "submit" }, "Look")));
  return { view: [form], focus: () => field.focus() };
}

function blocked(problem, begin) {
  const again = h("button", { type: "button", click: begin }, "Try again");
  return { view: [h("section", { class: "card" }, h("h1", null, "serin does not answer here"), h("p", { class: "alarm", role: "alert" }, problem.message), h("div", { class: "row" }, again))], focus: () => again.focus() };
}
