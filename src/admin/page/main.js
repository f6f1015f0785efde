// Which page is shown, who may see it, and what comes in live.

import { forAll } from "./actions.js";
import { listen, read, token } from "./api.js";
import { bar, botPage, tone } from "./bot.js";
import { h, place, say } from "./dom.js";
import { by, done, isSplit, nowHappening, percent, release, weight } from "./words.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const forget = document.getElementById("forget");

let page = null;
let stop = () => {};

function overview() {
  const list = h("div", { class: "cards" });
  const cards = new Map();
  let bots = new Map();
  const update = (bot) => {
    bots.set(bot.bot, bot);
    if (!cards.has(bot.bot)) cards.set(bot.bot, list.appendChild(place("article", { class: "card" })));
    cards.get(bot.bot).show([bot.phase, bot.weight_percent, bot.hold_text, bot.waits_for_human, bot.evidence.text, bot.tracks, bot.canary, bot.stable, bot.history_error, bot.frozen], () => card(bot));
  };
  const gone = (name) => {
    cards.get(name)?.remove();
    [bots, cards].forEach((known) => known.delete(name));
  };
  const news = async () => {
    const now = (await read("/v1/bots")).bots;
    const names = new Set(now.map((bot) => bot.bot));
    [...cards.keys()].filter((name) => !names.has(name)).forEach(gone);
    bots = new Map();
    now.forEach(update);
  };
  const everybody = h("details", null, h("summary", null, "More actions"), h("div", { class: "row actions" }, forAll(() => [...bots.values()], news)));
  return { view: [h("h1", null, "Bots"), list, everybody], news, update, gone, changed: () => {}, end: () => {} };
}

function card(bot) {
  const rate = (track) => (bot.tracks[track].requests ? percent((bot.tracks[track].errors / bot.tracks[track].requests) * 100) : "–");
  return [
    h("div", { class: "row" }, h("h2", null, h("a", { href: `#/bots/${encodeURIComponent(bot.bot)}` }, bot.bot)), h("span", { class: `badge end ${tone(bot)}` }, bot.waits_for_human ? `${bot.phase}: needs you` : bot.phase)),
    h("div", { class: "row" }, h("span", { class: "strong number" }, weight(bot.weight_percent)), h("span", { class: "canary" }, isSplit(bot) ? release(bot.canary) : "canary")),
    h("div", { class: "share", "aria-hidden": "true" }, bar(bot.weight_percent)),
    h("p", null, nowHappening(bot)),
    isSplit(bot) && bot.evidence.text && h("p", { class: "small soft" }, bot.evidence.text),
    h("p", { class: "small soft" }, `errors: stable ${rate("stable")}, canary ${rate("canary")}`),
    bot.history_error && h("p", { class: "alarm" }, "The history cannot be written."),
    bot.frozen && h("p", { class: "note small" }, `Frozen ${bot.frozen}.`),
  ];
}

function signIn(problem) {
  page?.end();
  page = null;
  stop();
  const field = h("input", { type: "password", name: "token", required: true, autocomplete: "current-password" });
  const keep = h("input", { type: "checkbox", name: "remember" });
  const submit = (event) => {
    event.preventDefault();
    token.set(field.value.trim(), keep.checked);
    begin();
  };
  // 403 without a token says why none would do: there is none in the config, or the page is open behind a proxy.
  const alarms = token.get() || problem.status === 403;
  const told = alarms ? problem.message : "The API wants a token: one of the [[admin.token]] of the config. Its scope says what you may do here: read looks, operate changes.";
  main.replaceChildren(h("form", { class: "card", submit }, h("h1", null, "Who are you?"), h("p", { role: alarms ? "alert" : null }, told), h("label", null, "Token", field),
    h("label", { class: "check" }, keep, "Keep it in this browser, not only in this tab"), h("div", { class: "row" }, h("button", { type: "submit" }, "Look"))));
  forget.hidden = true;
  connection.textContent = "";
  field.focus();
}

/** Shows what the address says. */
async function route() {
  if (location.hash === "#main") return main.focus();
  const name = wanted();
  page?.end();
  page = name ? botPage(name) : overview();
  const shown = page;
  document.title = name ? `${name} – serin` : "serin";
  const back = name ? [h("p", null, h("a", { href: "#/" }, "All bots"))] : [];
  main.replaceChildren(...back, ...page.view);
  try {
    await page.news();
  } catch (error) {
    if (page !== shown) return;
    if (error.status === 401 || error.status === 403) return signIn(error);
    page.end();
    page = null;
    main.replaceChildren(h("p", null, h("a", { href: "#/" }, "All bots")), h("p", { class: "alarm", role: "alert" }, error.message));
  }
}

/** The bot that the address names. */
function wanted() {
  const name = /^#\/bots\/([^/]+)$/.exec(location.hash)?.[1];
  try {
    return name && decodeURIComponent(name);
  } catch {
    return name;
  }
}

function begin() {
  stop();
  forget.hidden = !token.get();
  let lost = false;
  stop = listen({
    // A bot that was not there when it was asked for has a page now.
    status: (bot) => (page ? page.update(bot) : bot.bot === wanted() && route()),
    gone: (name) => (name === wanted() ? route() : page?.gone(name)),
    change(row) {
      page?.changed(row)?.catch(() => {});
      if (row) say(`${row.bot}: ${done(row)}, ${by(row)}.`);
    },
    state(connected, problem) {
      connection.textContent = connected ? "live" : "serin does not answer; trying again";
      connection.classList.toggle("lost", !connected);
      if (problem) signIn(problem);
      // What happened meanwhile nobody has told.
      else if (connected && lost) page ? page.news().catch(() => {}) : route();
      lost = !connected;
    },
  });
  route();
}

window.addEventListener("hashchange", route);
forget.addEventListener("click", () => {
  token.forget();
  location.reload();
});
begin();
