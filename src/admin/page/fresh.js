// How old what the page shows is. After some seconds without a word from serin it is dimmed, says so, and has no buttons: who
// decides on an old view decides wrongly.

import { h, say } from "./dom.js";
import { lasting } from "./words.js";

/** serin says something at least every 2 s. */
const STALE_MS = 5000;
const LOOK_MS = 500;

const line = document.getElementById("connection");
const warning = document.getElementById("stale");

let heardAt = null;
let connected = true;
let stale = false;

/** Called whenever serin has said anything. */
export function heard() {
  heardAt = Date.now();
  if (stale) show();
}

export function isConnected(now) {
  connected = now;
  show();
}

/** Nothing is shown that could be old. */
export function restart() {
  heardAt = null;
  show();
}

/** What only works while serin is heard. */
export function acting(...children) {
  return h("fieldset", { class: "acting", disabled: stale }, children);
}

function show() {
  const age = heardAt === null ? 0 : Date.now() - heardAt;
  const was = stale;
  stale = age >= STALE_MS;
  const old = lasting(Math.floor(age / 1000));
  line.textContent = text(old);
  line.classList.toggle("lost", stale || !connected);
  warning.hidden = !stale;
  if (stale) warning.textContent = `No news from serin for ${old}: this is how it was then. The buttons are off until it is heard again. What it does by itself goes on.`;
  if (stale === was) return;
  document.documentElement.toggleAttribute("data-stale", stale);
  for (const one of document.querySelectorAll("fieldset.acting")) one.disabled = stale;
  say(stale ? "No news from serin: what is shown is old, and the buttons are off." : "serin is heard again.");
}

function text(old) {
  if (heardAt === null) return "";
  if (!connected) return `serin does not answer; trying again${stale ? `, no news for ${old}` : ""}`;
  return stale ? `no news for ${old}` : `live, updated ${old} ago`;
}

setInterval(show, LOOK_MS);
