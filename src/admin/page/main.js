// Which page is shown, who may see it, and what comes in live.

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
  const list = place("div", { class: "cards" });
  const bots = new Map();
  const show = () => list.show([...bots.values()].map((bot) => [bot.bot, bot.phase, bot.weight_percent, bot.hold_text, bot.waits_for_human, bot.evidence.text, bot.tracks, bot.canary, bot.stable, bot.durable, bot.frozen]), () => [...bots.values()].map(card));
  const update = (bot) => {
    bots.set(bot.bot, bot);
    show();
  };
  const news = async () => {
    const now = (await read("/v1/bots")).bots;
    bots.clear();
    now.forEach((bot) => bots.set(bot.bot, bot));
    show();
  };
  return { view: [h("h1", null, "Bots"), list], title: "Bots", news, update, changed: () => {}, end: () => {} };
}

function card(bot) {
  const rate = (track) => (bot.tracks[track].requests ? percent((bot.tracks[track].errors / bot.tracks[track].requests) * 100) : "–");
  return h("article", { class: "card" },
    h("div", { class: "row" }, h("h2", null, h("a", { href: `#/bots/${encodeURIComponent(bot.bot)}` }, bot.bot)), h("span", { class: `badge end ${tone(bot)}` }, bot.waits_for_human ? `${bot.phase}: needs you` : bot.phase)),
    h("div", { class: "row" }, h("span", { class: "strong number" }, weight(bot.weight_percent)), h("span", { class: "canary" }, isSplit(bot) ? release(bot.canary) : "canary")),
    h("div", { class: "share", "aria-hidden": "true" }, bar(bot.weight_percent)),
    h("p", null, nowHappening(bot)),
    isSplit(bot) && bot.evidence.text && h("p", { class: "small soft" }, bot.evidence.text),
    h("p", { class: "small soft" }, `errors: stable ${rate("stable")}, canary ${rate("canary")}`),
    bot.history_error && h("p", { class: "alarm" }, "The history cannot be written."),
    bot.frozen && h("p", { class: "note small" }, `Frozen ${bot.frozen}.`));
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
  const told = token.get() ? problem.message : "The API wants a token: one of the [[admin.token]] of the config. Its scope says what you may do here: read looks, operate changes.";
  main.replaceChildren(h("form", { class: "card", submit }, h("h1", null, "Who are you?"), h("p", { role: token.get() ? "alert" : null }, told), h("label", null, "Token", field),
    h("label", { class: "check" }, keep, "Keep it in this browser, not only in this tab"), h("div", { class: "row" }, h("button", { type: "submit" }, "Look"))));
  forget.hidden = true;
  connection.textContent = "";
  field.focus();
}

/** Shows what the address says. */
async function route() {
  if (location.hash === "#main") return main.focus();
  const name = /^#\/bots\/([^/]+)$/.exec(location.hash)?.[1];
  page?.end();
  page = name ? botPage(decodeURIComponent(name)) : overview();
  const shown = page;
  document.title = name ? `${page.title} – serin` : "serin";
  const back = name ? [h("p", null, h("a", { href: "#/" }, "All bots"))] : [];
  main.replaceChildren(...back, ...page.view);
  try {
    await page.news();
  } catch (error) {
    if (page !== shown) return;
    if (error.status === 401 || error.status === 403) return signIn(error);
    page.end();
    main.replaceChildren(h("p", null, h("a", { href: "#/" }, "All bots")), h("p", { class: "alarm", role: "alert" }, error.message));
  }
}

function begin() {
  stop();
  forget.hidden = !token.get();
  stop = listen({
    status: (bot) => page?.update(bot),
    change(row) {
      page?.changed(row)?.catch(() => {});
      if (row) say(`${row.bot}: ${done(row)}, ${by(row)}.`);
    },
    state(connected, problem) {
      connection.textContent = connected ? "live" : "serin does not answer; trying again";
      connection.classList.toggle("lost", !connected);
      if (problem) signIn(problem);
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
