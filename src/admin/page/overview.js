// All bots, for triage: who needs somebody first, then what is under way, then what rests, in one line each.

import { forAll } from "./actions.js";
import { read } from "./api.js";
import { bar, sign } from "./banner.js";
import { h, place } from "./dom.js";
import { isSplit, label, local, weight } from "./words.js";

/** Urgency, the group's name, and how many are counted. */
const GROUPS = [["act", "Needs you", (n) => `${n} need${n === 1 ? "s" : ""} you`], ["watch", "Under way", (n) => `${n} under way`], ["none", "At rest", (n) => `${n} at rest`]];
/** Fewer are seen at once. */
const SEARCH_FROM = 6;

export function overview() {
  const groups = new Map(GROUPS.map(([urgency, name]) => [urgency, group(name)]));
  const counts = place("p", { class: "soft counts" });
  const search = h("input", { type: "search", name: "search", "aria-label": "Search a bot", placeholder: "Search", autocomplete: "off", input: arrange });
  const nobody = h("p", { class: "soft", hidden: true }, "No bot has that in its name, release or state.");
  const rows = new Map();
  const bots = new Map();

  function update(bot) {
    put(bot);
    arrange();
  }

  function put(bot) {
    bots.set(bot.bot, bot);
    if (!rows.has(bot.bot)) rows.set(bot.bot, place("article", { class: "bot" }));
    const it = rows.get(bot.bot);
    it.className = `bot ${bot.summary.urgency}`;
    it.show([bot.summary, bot.phase, bot.weight_percent, bot.canary, bot.stable, bot.history_error, bot.frozen], () => row(bot));
  }

  function gone(name) {
    rows.get(name)?.remove();
    [bots, rows].forEach((known) => known.delete(name));
    arrange();
  }

  /** Puts each where it belongs; what is there already is not moved, for it may have the focus. */
  function arrange() {
    const wanted = search.value.trim().toLowerCase();
    const fits = (bot) => [bot.bot, label(bot.stable), label(bot.canary), bot.summary.state].some((text) => text.toLowerCase().includes(wanted));
    const sorted = [...bots.values()].sort((a, b) => a.bot.localeCompare(b.bot));
    for (const [urgency, { section, list }] of groups) {
      const its = sorted.filter((bot) => bot.summary.urgency === urgency);
      its.forEach((bot, i) => {
        const it = rows.get(bot.bot);
        it.hidden = !fits(bot);
        if (list.children[i] !== it) list.insertBefore(it, list.children[i] ?? null);
      });
      section.hidden = its.every((bot) => !fits(bot));
    }
    search.hidden = bots.size < SEARCH_FROM && !wanted;
    nobody.hidden = !wanted || sorted.some(fits);
    const waiting = sorted.filter((bot) => bot.summary.urgency === "act");
    const said = GROUPS.map(([urgency, , counted]) => [sorted.filter((bot) => bot.summary.urgency === urgency).length, counted]).filter(([n]) => n > 0).map(([n, counted]) => counted(n));
    counts.show(said, () => said.join(", "));
    document.title = !waiting.length ? "serin" : waiting.length === 1 ? `(1) ${waiting[0].bot} needs you – serin` : `(${waiting.length}) need you – serin`;
  }

  async function news() {
    const now = (await read("/v1/bots")).bots;
    const names = new Set(now.map((bot) => bot.bot));
    [...rows.keys()].filter((name) => !names.has(name)).forEach(gone);
    now.forEach(put);
    arrange();
  }

  const everybody = h("details", null, h("summary", null, "Actions for all bots"), forAll(() => [...bots.values()], news));
  return { view: [h("div", { class: "row" }, h("h1", { tabindex: -1 }, "Bots"), counts, search), nobody, [...groups.values()].map(({ section }) => section), everybody], news, update, gone, changed: () => {}, end: () => {} };
}

function group(name) {
  const list = h("div", { class: "bots" });
  return { list, section: h("section", { "aria-label": name, hidden: true }, h("h2", null, name), list) };
}

/** What rests takes one line. */
function row(bot) {
  const { urgency, state, next, todo } = bot.summary;
  const link = h("h3", null, h("a", { href: `#/bots/${encodeURIComponent(bot.bot)}`, "data-key": "link" }, bot.bot));
  const notes = [bot.history_error && h("p", { class: "bad strong" }, "The history cannot be written."), bot.frozen && h("span", { class: "badge" }, "frozen")];
  if (urgency === "none") return [sign(bot), link, h("span", { class: "soft small" }, local(state)), notes];
  return [
    h("div", { class: "row" }, sign(bot), link, notes, isSplit(bot) && bot.canary && h("span", { class: "end number canary strong" }, `${weight(bot.weight_percent)} on ${label(bot.canary)}`)),
    h("p", { class: "strong" }, local(state)),
    next && h("p", { class: "small" }, local(next)),
    h("p", { class: "small todo" }, local(todo)),
    h("div", { class: "share", "aria-hidden": "true" }, bar(bot.weight_percent)),
  ];
}
