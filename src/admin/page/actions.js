// What an operator may do, each with a question that says what will happen.

import { Problem, change } from "./api.js";
import { h, say } from "./dom.js";
import { isSplit, percent, release, some, underWay, weight } from "./words.js";

const idle = (bot) => !underWay(bot);
const others = (bot) => bot.upstreams.filter((side) => side.upstream !== bot.stable.upstream);
const post = (action) => (bot, body, revision) => change("POST", `/v1/bots/${encodeURIComponent(bot.bot)}/${action}`, body, revision);

/** `about 31 active buckets, usually 38 % of the requests`, where it is known. */
function reach(share) {
  return share ? ` (about ${some(share.active_buckets, "active bucket")}, usually ${percent(share.requests_percent)} of the requests)` : "";
}

const SIDE = [
  { name: "upstream", label: "Upstream", kind: "side" },
  { name: "version", label: "Version (a label, such as v42)", kind: "text" },
];

/**
 * `when(bot)`: it makes sense now. `tells(bot, traffic)`: what will happen. `fields`: what to ask. `safe`: it only takes back,
 * so it is done whatever has changed since the question. `rare`: not beside the others.
 */
export const ACTIONS = [
  {
    name: "advance", label: "Advance", when: (bot) => underWay(bot) && bot.rollout?.next_percent != null, send: post("advance"),
    tells: (bot, traffic) => [`The canary goes from ${weight(bot.weight_percent)} to ${weight(bot.rollout.next_percent)} of the buckets now${reach(traffic?.reach.next)}, on ${release(bot.canary)}.`,
      bot.rollout.next_percent === 100 ? "That is everybody: it becomes stable." : "The bake of that step begins; a failing canary still goes to zero by itself."],
  },
  {
    name: "pause", label: "Pause", when: (bot) => underWay(bot) && bot.phase !== "paused", send: post("pause"), safe: true,
    tells: (bot) => [`The canary stays at ${weight(bot.weight_percent)}. It is still watched: if it fails, it goes to zero.`],
  },
  {
    name: "resume", label: "Resume", when: (bot) => bot.phase === "paused", send: post("resume"),
    tells: (bot) => [`The rollout goes on at ${weight(bot.weight_percent)}, or at the highest step below, with a whole bake.`],
  },
  {
    name: "abort", label: "Abort", danger: true, when: isSplit, send: post("abort"), safe: true,
    tells: (bot, traffic) => [`All of ${release(bot.canary)}'s workspaces${reach(traffic?.reach.now)} go back to ${release(bot.stable)} at once.`,
      "The release is quarantined: it is not rolled out again unless somebody insists."],
  },
  {
    name: "undo", label: "Undo", danger: true, when: (bot) => idle(bot) && bot.previous && !isSplit(bot), send: post("undo"), safe: true,
    tells: (bot) => [`Everybody goes back from ${release(bot.stable)} to ${release(bot.previous)} at once, if that takes connections.`,
      bot.previous.free ? "Its undo window is over: make sure that it still runs." : "Requests in flight finish where they began."],
  },
  {
    name: "promote", label: "Promote", when: (bot) => bot.canary && isSplit(bot) && underWay(bot), send: post("promote"),
    tells: (bot) => [`Everybody goes to ${release(bot.canary)} now, whatever the evidence still lacks, and it becomes stable.`, `${release(bot.stable)} stays there for an undo.`],
  },
  {
    name: "start", label: "Start a rollout", when: (bot) => others(bot).length > 0, send: post("rollouts"),
    fields: [...SIDE, { name: "retry", label: "It was taken back before: try it again", kind: "check", when: (bot) => bot.quarantine.length > 0 },
      { name: "replace", label: "The rollout under way makes room: it goes back to 0 % first", kind: "check", when: underWay }],
    tells: (bot) => [`The upstream is asked whether it is well; then the first step's workspaces are sent to it. serin goes on by itself, or back.`,
      underWay(bot) ? `A rollout of ${release(bot.canary)} is under way.` : `Stable is ${release(bot.stable)}.`],
  },
  {
    name: "weight", label: "Set the weight", when: (bot) => others(bot).length > 0,
    send: (bot, body, revision) => change("PUT", `/v1/bots/${encodeURIComponent(bot.bot)}/weight`, body, revision),
    fields: [{ name: "percent", label: "Per cent of the buckets on the canary", kind: "percent" }],
    tells: (bot) => [`The canary has ${weight(bot.weight_percent)} now; at most ${weight(bot.max_percent)} is allowed.`,
      underWay(bot) ? "The rollout pauses at the new weight." : "serin will not raise it further, but takes it to zero if the canary fails."],
  },
  {
    name: "switch", label: "Switch everybody", danger: true, when: (bot) => idle(bot) && others(bot).length > 0, send: post("switch"), fields: SIDE, rare: true,
    tells: (bot) => [`After a preflight everybody goes from ${release(bot.stable)} to the other side at once. Nobody is left to compare with; it can be undone.`],
  },
  {
    name: "adopt", label: "Adopt", when: idle, send: post("adopt"), fields: [{ ...SIDE[0], kind: "any side" }, SIDE[1]], rare: true,
    tells: () => ["Says what is live already: everybody is sent there at once, without a rollout."],
  },
  {
    name: "drill", label: "Drill", when: (bot) => idle(bot) && !isSplit(bot), send: post("drill"), plain: true, rare: true,
    fields: [{ ...SIDE[0], when: (bot) => others(bot).length > 1 },
      { name: "share_percent", label: "Buckets to send to the idle side for 5 s, and back", kind: "choice", choices: [[null, "None"], [1, "1 %"], [10, "10 %"], [100, "All of them"]] }],
    tells: () => ["A rehearsal of the way back, through the whole path. No workspace is moved unless you choose so. It is measured and remembered."],
  },
  {
    name: "freeze", label: "Freeze", when: (bot) => !bot.frozen, send: post("freeze"), safe: true, rare: true,
    tells: () => ["Nothing rises until it is thawed. Everything may still fall."],
  },
  { name: "thaw", label: "Thaw", when: (bot) => bot.frozen, send: post("thaw"), rare: true, tells: (bot) => [`Frozen ${bot.frozen}. What was held by that goes on.`] },
];

/** One after the other, each by itself; what was refused is said together. */
const each = (action, fits) => async (bots, body) => {
  const refused = [];
  for (const bot of bots.filter(fits)) await post(action)(bot, body, null).catch((error) => refused.push(error.message));
  if (refused.length) throw new Problem(0, "", refused.join(" "));
  return {};
};

/** For all bots at once. */
const FOR_ALL = [
  { name: "freeze", label: "Freeze all", safe: true, send: each("freeze", (bot) => !bot.frozen), tells: (bots) => [`Nothing rises on any of the ${some(bots.length, "bot")} until it is thawed. Everything may still fall.`] },
  { name: "thaw", label: "Thaw all", safe: true, send: each("thaw", (bot) => bot.frozen), tells: () => ["What was held by a freeze goes on. A window of the config ends by itself."] },
];

/** Their buttons; `bots()` is asked when one is pressed. */
export function forAll(bots, after) {
  return FOR_ALL.map((action) => h("button", { type: "button", class: "plain", click: () => ask(action, bots(), null, after) }, action.label));
}

export const possible = (bot) => ACTIONS.filter((action) => action.when(bot));

/** Whether the rare ones are shown: as they were left. */
let more = false;

/** The buttons of what is possible now; `bot()` and `traffic()` are asked when one is pressed. */
export function buttons(bot, traffic, after) {
  const button = (action) => h("button", { type: "button", class: action.danger ? "danger" : isNext(action, bot()) ? "" : "plain", click: () => ask(action, bot(), traffic(), after) }, action.label);
  const of = (rare) => possible(bot()).filter((action) => Boolean(action.rare) === rare).map(button);
  const rare = of(true);
  return [h("div", { class: "row actions" }, of(false)),
    rare.length > 0 && h("details", { open: more, toggle: (event) => (more = event.target.open) }, h("summary", null, "More actions"), h("div", { class: "row actions" }, rare))];
}

/** What is most likely wanted. */
const isNext = (action, bot) => (underWay(bot) ? ["advance", "resume"] : ["start"]).includes(action.name);

/** The question; what is answered goes to the API, and what that says is shown. */
function ask(action, bot, traffic, after) {
  const wrong = h("p", { class: "alarm", role: "alert", hidden: true });
  const confirm = h("button", { type: "submit", class: action.danger ? "danger" : "" }, action.label);
  const inputs = (action.fields ?? []).filter((field) => field.when?.(bot) ?? true).map((field) => input(field, bot));
  if (!action.plain) inputs.push(input({ name: "reason", label: "Reason (stands in the history)", kind: "text" }, bot));
  if (!action.plain && !action.safe) inputs.push(input({ name: "force", label: "Even so: against a freeze, a preflight or the evidence", kind: "check" }, bot));
  const title = bot.bot ? `${action.label}: ${bot.bot}` : action.label;
  const form = h("form", { submit: go }, h("h2", null, title), action.tells(bot, traffic).map((text) => h("p", null, text)), inputs.map(({ element }) => element), wrong,
    h("div", { class: "row" }, confirm, h("button", { type: "button", class: "plain", click: () => dialog.close() }, "Leave it")));
  const dialog = h("dialog", { "aria-label": title, close: () => dialog.remove() }, form);
  document.body.append(dialog);
  dialog.showModal();

  async function go(event) {
    event.preventDefault();
    confirm.disabled = true;
    wrong.hidden = true;
    try {
      const body = Object.fromEntries(inputs.map(({ name, value }) => [name, value()]).filter(([, value]) => value !== null));
      const answer = await action.send(bot, body, action.safe || action.plain ? null : bot.revision);
      dialog.close();
      say(`${action.label}: done.`);
      after(answer);
      // The button that had the focus may be gone.
      if (document.activeElement === document.body) document.querySelector(".actions button")?.focus();
    } catch (error) {
      const stale = error instanceof Problem && error.status === 412;
      wrong.textContent = stale ? `Somebody or something changed this bot meanwhile (${error.message}). Close this, look, and decide again.` : error.message;
      wrong.hidden = false;
      confirm.disabled = false;
    }
  }
}

/** `choices`: [value, text]. */
function choice(name, label, choices) {
  const select = h("select", { name }, choices.map(([, text]) => h("option", null, text)));
  return { name, element: h("label", null, label, select), value: () => choices[select.selectedIndex][0] };
}

function input(field, bot) {
  const { name, label, kind } = field;
  if (kind === "check") {
    const box = h("input", { type: "checkbox", name });
    return { name, element: h("label", { class: "check" }, box, label), value: () => box.checked || null };
  }
  if (kind === "side" || kind === "any side") {
    const sides = kind === "side" ? others(bot) : [bot.stable, ...others(bot)];
    return choice(name, label, sides.map((side) => [side.upstream, side.upstream]));
  }
  if (kind === "choice") return choice(name, label, field.choices);
  if (kind === "percent") {
    const number = h("input", { type: "number", name, min: 0, max: bot.max_percent, step: 0.01, required: true, value: bot.weight_percent, inputmode: "decimal" });
    return { name, element: h("label", null, label, number), value: () => number.valueAsNumber };
  }
  const text = h("input", { type: "text", name, autocomplete: "off", maxlength: 256 });
  return { name, element: h("label", null, label, text), value: () => text.value.trim() || null };
}
