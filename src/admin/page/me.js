// Who looks at this page, and what they may do here.

import { read } from "./api.js";

const shown = document.getElementById("me");

let me = null;

export async function meet() {
  me = await read("/v1/whoami");
  const may = me.scope === "operate" ? "may act" : "may only look";
  const only = me.bots ? `, on ${me.bots.join(", ")}` : "";
  shown.textContent = `${me.name ?? "no token needed"}: ${may}${only}${me.read_only ? "; only the config changes what serves" : ""}`;
  shown.title = me.name === null ? "This serin has no tokens: it answers this machine alone." : `The token ${me.name}, scope ${me.scope}. serin ${me.version}.`;
}

export function forgetMe() {
  me = null;
  shown.textContent = "";
}

/** Why none of the buttons would do anything, or null. */
export function mayNot() {
  if (!me || me.scope === "operate") return null;
  return `The token ${me.name} may only look: its scope is ${me.scope}. To act, use one with the scope operate.`;
}

