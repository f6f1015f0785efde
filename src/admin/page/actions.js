// What an operator may do: the buttons. Whether one is possible now, and why not, the API says; what it would do is asked in
// confirm.js.

import { change } from "./api.js";
import { ask } from "./confirm.js";
import { h } from "./dom.js";
import { acting } from "./fresh.js";
import { mayNot } from "./me.js";
import { isSplit, label, local, sentence, underWay, weight } from "./words.js";

const path = (bot, action) => `/v1/bots/${encodeURIComponent(bot.bot)}/${action}`;
const post = (action) => (bot, body, revision, dry) => change("POST", path(bot, action) + dry, body, revision);

const SIDE = [
  { name: "upstream", label: "Upstream", kind: "other side" },
  { name: "version", label: "Version (a label, such as v42)", kind: "text" },
];

/**
 * `does`: in a few words. `fields`: what to ask. `safe`: it only takes back, so it is done whatever has changed since the
 * question. `plain`: it takes neither a reason nor `force`. `front(bot)`: beside the main button while it is possible.
 * `send(bot, body, revision, dry)`: `dry` is the query of a dry run, or nothing.
 */
const ACTIONS = [
  { name: "advance", label: (bot) => `Advance${bot.rollout?.next_percent == null ? "" : ` to ${weight(bot.rollout.next_percent)}`}`, does: "To the next step now.", front: underWay, send: post("advance") },
  { name: "resume", label: () => "Resume", does: "The rollout goes on.", front: underWay, send: post("resume") },
  { name: "pause", label: () => "Pause", does: "The weight stays, still watched.", front: underWay, safe: true, send: post("pause") },
  { name: "abort", label: (bot) => (isSplit(bot) && bot.canary ? `Abort ${label(bot.canary)}` : "Abort"), does: "Everybody goes back to stable at once.", danger: true, front: isSplit, safe: true, send: post("abort") },
  { name: "undo", label: (bot) => (bot.previous ? `Undo, back to ${label(bot.previous)}` : "Undo"), does: "Everybody goes back to the release before.", danger: true, front: (bot) => !underWay(bot), safe: true, send: post("undo") },
  { name: "promote", label: (bot) => (bot.canary && underWay(bot) ? `Promote ${label(bot.canary)} to everybody` : "Promote"), does: "Everybody goes to the canary now.", send: post("promote") },
  { name: "start", label: () => "Start a rollout", does: "A release is tried step by step.", front: (bot) => !underWay(bot), send: post("rollouts"),
    fields: [...SIDE, { name: "retry", label: "It was taken back before: try it again", kind: "check", when: (bot) => bot.quarantine.length > 0 },
      { name: "replace", label: "The rollout under way makes room: it goes back to 0 % first", kind: "check", when: underWay }] },
  { name: "weight", label: () => "Set the weight", does: "A share by hand.", send: (bot, body, revision, dry) => change("PUT", path(bot, "weight") + dry, body, revision),
    fields: [{ name: "percent", label: "Per cent of the buckets on the canary", kind: "percent" }] },
  { name: "switch", label: () => "Switch everybody", does: "To the other side at once, without steps.", danger: true, fields: SIDE, send: post("switch") },
  { name: "adopt", label: () => "Adopt", does: "Says what is live already.", fields: [{ ...SIDE[0], kind: "any side" }, SIDE[1]], send: post("adopt") },
  { name: "drill", label: () => "Drill", does: "Rehearses the way back.", plain: true, send: post("drill"),
    fields: [{ ...SIDE[0], when: (bot) => bot.upstreams.length > 2 },
      { name: "share_percent", label: "Buckets to send to the idle side for 5 s, and back", kind: "choice", choices: [[null, "None"], [1, "1 %"], [10, "10 %"], [100, "All of them"]] }] },
  { name: "freeze", label: () => "Freeze", does: "Nothing rises until it is thawed.", safe: true, send: post("freeze") },
  { name: "thaw", label: () => "Thaw", does: "What was held by a freeze goes on.", front: (bot) => Boolean(bot.frozen_by), send: post("thaw") },
];

/** Why an action is not possible now, or null. */
const refusal = (bot, action) => mayNot() ?? bot.actions.find(({ name }) => name === action.name).refusal;
const why = (bot, action) => refusal(bot, action) && local(sentence(refusal(bot, action)));

/** All that the buttons depend on. */
export const possible = (bot) => [bot.actions, bot.summary.action, bot.phase, bot.canary, bot.previous, bot.rollout?.next_percent, bot.frozen_by, mayNot()];

/** Whether all are shown: as it was left. */
let more = false;

/** The main button, those beside it, and the list of all, with the reason where one is off. `bot()` is asked when one is pressed. */
export function buttons(bot, after) {
  const now = bot();
  const main = ACTIONS.find(({ name }) => name === now.summary.action);
  const button = (action, look, key) => h("button", { type: "button", class: `${look} ${action.danger ? "danger" : ""}`, "data-key": key + action.name, disabled: refusal(now, action) !== null,
    click: () => ask({ ...action, label: action.label(bot()) }, bot(), after) }, action.label(now));
  const beside = ACTIONS.filter((action) => action !== main && action.front?.(now) && refusal(now, action) === null);
  const row = (action) => h("li", null, button(action, "plain", "more-"), h("span", { class: "small" }, why(now, action) ?? action.does));
  const reason = mayNot() ?? (main && why(now, main));
  return [
    acting(h("div", { class: "row actions" }, main && button(main, "main", ""), beside.map((action) => button(action, "plain", "")))),
    reason && h("p", { class: "small soft" }, reason),
    h("details", { open: more, toggle: (event) => (more = event.target.open) }, h("summary", { "data-key": "more" }, "All actions"), acting(h("ul", { class: "all" }, ACTIONS.map(row)))),
  ];
}

/** For all bots at once, one after the other; what was refused is said together. */
const FOR_ALL = [
  { name: "freeze", label: "Freeze all", fits: (bot) => !bot.frozen_by, send: post("freeze") },
  { name: "thaw", label: "Thaw all", fits: (bot) => bot.frozen_by, send: post("thaw") },
];

/** Their buttons; `bots()` is asked when one is pressed. */
export function forAll(bots, after) {
  const reason = mayNot();
  return acting(h("div", { class: "row actions" }, FOR_ALL.map((action) => h("button", { type: "button", class: "plain", disabled: reason !== null,
    click: () => ask({ ...action, safe: true, each: bots().filter(action.fits) }, null, after) }, action.label))), reason && h("p", { class: "small soft" }, reason));
}
