// One bot: what is so and what to do, then what both tracks answer, who is touched, and what happened.

import { buttons, possible } from "./actions.js";
import { read } from "./api.js";
import { alarms, banner, details, facts, shares, steps, title } from "./banner.js";
import { h, place } from "./dom.js";
import { past } from "./past.js";
import { tiles } from "./tiles.js";
import { explain, touched } from "./workspaces.js";

const HISTORY = 50;
const TRAFFIC_EVERY_MS = 5000;

export function botPage(name) {
  const path = `/v1/bots/${encodeURIComponent(name)}`;
  const parts = Object.fromEntries(["banner", "shares", "actions", "alarms", "steps", "facts", "details", "touched", "past"].map((part) => [part, place("div", { class: part })]));
  let bot = null;
  let traffic = null;
  let rows = [];
  /** The last changes that came as events, the newest first. */
  let told = [];
  let before = false;
  let all = false;
  let ended = false;
  const charts = tiles(() => ({ bot, points: traffic?.points ?? [], rows }));
  const { form, find } = explain(path);
  const top = h("section", { class: "card top-card", "aria-labelledby": "title" }, parts.banner, parts.actions, parts.alarms, parts.shares, parts.steps, parts.facts, h("details", null, h("summary", null, "Details"), parts.details));

  const view = [
    top,
    h("section", { class: "card", "aria-labelledby": "charts" }, charts.section),
    h("section", { class: "card", "aria-labelledby": "touched" }, h("h2", { id: "touched" }, "Workspaces"), parts.touched, form),
    h("section", { class: "card", "aria-labelledby": "history" }, h("h2", { id: "history" }, "What happened"), parts.past),
  ];

  function show() {
    if (!bot) return;
    document.title = title(bot);
    top.dataset.urgency = bot.summary.urgency;
    parts.banner.show([bot.summary, bot.phase, bot.revision], () => banner(bot));
    parts.alarms.show([bot.durable, bot.history_error, bot.warning, bot.concentration], () => alarms(bot, find));
    parts.shares.show([bot.weight_percent, bot.stable, bot.canary, bot.phase], () => shares(bot));
    parts.steps.show([bot.rollout, bot.step], () => steps(bot));
    parts.actions.show(possible(bot), () => buttons(() => bot, afterwards));
    parts.facts.show([bot.since, bot.frozen, bot.frozen_by, bot.desired, bot.previous, bot.quarantine, bot.drilled_at], () => facts(bot));
    parts.details.show([bot.rollout, bot.stable, bot.canary, bot.actual_percent, bot.phase], () => details(bot));
    if (traffic) parts.touched.show([bot.evidence.examinations, bot.tracks.canary.active_buckets, bot.phase, traffic.largest, traffic.failing, traffic.reach], () => touched(bot, traffic, find));
    parts.past.show([rows, before, all], () => past(rows, all, showAll, before && older));
  }

  function update(now) {
    if (now.bot !== name) return;
    bot = now;
    show();
  }

  async function news() {
    const [now, written, seen] = await Promise.all([read(path), read(`${path}/history?limit=${HISTORY}`), read(`${path}/traffic`)]);
    const oldest = written.changes.at(-1)?.revision ?? 0;
    const newest = written.changes[0]?.revision ?? 0;
    // What lowers, and what moves nobody, serves before it is on the disk: then it is not in what was read yet.
    const unwritten = told.filter((row) => row.revision > newest && row.revision <= now.revision);
    // What was looked up before stays, if nothing is missing between.
    const kept = rows[0]?.revision >= oldest - 1 ? rows.filter((row) => row.revision < oldest) : [];
    if (!kept.length) before = written.changes.length === HISTORY;
    [rows, traffic] = [[...unwritten, ...written.changes, ...kept], seen];
    update(now);
    charts.draw();
  }

  /** Most actions answer with the bot; all are changes, which come by themselves too. */
  const afterwards = (answer) => (answer.phase ? update(answer) : null);

  function showAll() {
    all = true;
    show();
  }

  async function older() {
    const { changes } = await read(`${path}/history?limit=${HISTORY}&before=${rows.at(-1).revision}`);
    before = changes.length === HISTORY;
    rows = [...rows, ...changes];
    show();
    charts.draw();
  }

  async function look() {
    for (;;) {
      await new Promise((done) => setTimeout(done, TRAFFIC_EVERY_MS));
      if (ended) return;
      // What cannot be read now is read again; the line at the top says that serin is not heard.
      traffic = await read(`${path}/traffic`).catch(() => traffic);
      if (ended) return;
      show();
      charts.draw();
    }
  }

  function changed(row) {
    if (row !== null && row.bot !== name) return null;
    if (row !== null) told = [row, ...told.filter((other) => other.revision < row.revision)].slice(0, HISTORY);
    return news();
  }

  look();
  return { view, news, update, gone: () => {}, changed, end: () => (ended = true) };
}
