// The question before an action. What it would do, or why it is refused, serin says in a dry run: then it is what will be
// decided. Where there is no answer in time, it is asked what is so now.

import { Problem, read } from "./api.js";
import { h, say } from "./dom.js";
import { acting } from "./fresh.js";
import { input } from "./inputs.js";
import { local, sentence } from "./words.js";

const DRY = "?dry_run=true";
const TYPING_MS = 300;
const LOOK_AGAIN_MS = 2000;
/** Stands for the reason that is still to be written, where one is needed. */
const SOME_REASON = "to be said";

/** `action.each`: the bots that it is for, where it is for all. */
export function ask(action, bot, after) {
  const bots = action.each ?? [bot];
  const title = bot ? `${action.label}: ${bot.bot}` : action.label;
  const tells = h("div", { class: "tells", role: "status" });
  const wrong = h("p", { class: "alarm", role: "alert", hidden: true });
  const confirm = h("button", { type: "submit", class: action.danger ? "danger" : "", disabled: true }, action.label);
  const inputs = (action.fields ?? []).filter((field) => field.when?.(bot) ?? true).map((field) => input(field, bot));
  const reason = action.plain ? null : input({ name: "reason", label: "Reason (stands in the history)", kind: "text" }, bot);
  const force = action.plain || action.safe ? null : input({ name: "force", label: "Do it all the same", kind: "check" }, bot);
  if (force) force.element.hidden = true;
  const all = [...inputs, reason, force].filter(Boolean);
  const cancel = h("button", { type: "button", class: "plain", click: () => dialog.close() }, "Cancel");
  const form = h("form", { submit: go, input: later, novalidate: true }, h("h2", null, title), inputs.map(({ element }) => element), wrong, tells, force?.element, reason?.element,
    h("div", { class: "row" }, acting(confirm), cancel));
  const dialog = h("dialog", { "aria-label": title, close: ended }, form);
  let revision = null;
  let asked = 0;
  let timer;
  document.body.append(dialog);
  dialog.showModal();
  look();

  function ended() {
    clearTimeout(timer);
    asked++;
    refocus();
    dialog.remove();
  }

  /** The button that had the focus before the question may be gone. Until the page is drawn again, the focus is still in the dialog. */
  function refocus() {
    const lost = document.activeElement === document.body || dialog.contains(document.activeElement);
    if (lost) document.querySelector(".actions button:enabled")?.focus();
  }

  function body(more) {
    return { ...Object.fromEntries(all.map(({ name, value }) => [name, value()]).filter(([, value]) => value !== null)), ...more };
  }

  function later(event) {
    // What is written in the history changes nothing of what would be done.
    if (event.target.name === "reason") return void (confirm.disabled = !ready());
    confirm.disabled = true;
    clearTimeout(timer);
    timer = setTimeout(look, TYPING_MS);
  }

  function valid() {
    return inputs.every(({ element }) => element.querySelector("input, select").validity.valid);
  }

  function ready() {
    return revision !== null && (!reason?.required || reason.value() !== null);
  }

  /** Asks what it would do, and shows that. */
  async function look() {
    const mine = ++asked;
    revision = null;
    confirm.disabled = true;
    if (!valid()) return tells.replaceChildren(h("p", { class: "soft" }, "Fill in what is asked, then serin says what it would do."));
    tells.replaceChildren(h("p", { class: "soft" }, "Asking serin what it would do …"));
    const answers = await Promise.all(bots.map((one) => dry(one).catch((error) => ({ bot: one.bot, error }))));
    if (mine !== asked) return;
    // A confirmed `force` stays until it is taken away.
    if (force && !force.value()) force.element.hidden = !answers.some(({ forced }) => forced);
    if (reason) reason.element.hidden = answers.every(({ error }) => error) && force?.element.hidden !== false;
    const possible = answers.filter(({ error }) => !error);
    tells.replaceChildren(...answers.flatMap(told));
    if (!possible.length) return void (confirm.hidden = true);
    confirm.hidden = false;
    if (reason) reason.require(answers.some((answer) => answer.reason));
    revision = possible[0].revision;
    confirm.disabled = !ready();
  }

  function told(answer) {
    const name = action.each ? `${answer.bot}: ` : "";
    if (answer.error) return h("p", { class: "alarm" }, name + local(sentence(answer.error.message)), !action.each && answer.forced && " “Do it all the same” does it against that.");
    return answer.lines.map((line) => h("p", null, name + local(line)));
  }

  /** Tries what may be missing: a reason, and whether `force` would help. */
  async function dry(one) {
    const send = (more) => action.send(one, body(more), null, DRY);
    try {
      return await send({});
    } catch (error) {
      if (error.unknown) throw error;
      if (error.code === "reason") return { ...(await send({ reason: SOME_REASON })), reason: true };
      const helps = force && (await send({ force: true, reason: SOME_REASON }).then(() => true, () => false));
      return { bot: one.bot, error, forced: helps };
    }
  }

  async function go(event) {
    event.preventDefault();
    if (!ready()) return;
    confirm.disabled = true;
    wrong.hidden = true;
    try {
      const refused = [];
      let answer;
      for (const one of bots) {
        answer = await action.send(one, body({}), action.safe || action.plain ? null : revision, "").catch((error) => {
          if (!action.each) throw error;
          refused.push(`${one.bot}: ${error.message}`);
        });
      }
      if (refused.length) throw new Problem(409, "", refused.join(" "));
      dialog.close();
      say(`${action.label}: done.`);
      after(answer);
      refocus();
    } catch (error) {
      wrong.hidden = false;
      if (error.unknown && bot) return unknown(error);
      const stale = error.status === 412;
      wrong.textContent = stale ? "Somebody or something changed this bot meanwhile, and nothing was done. What stands below is what it would do now." : local(sentence(error.message));
      if (stale) look();
      else confirm.disabled = false;
    }
  }

  /** It may have been done. serin is asked until it says what is so. */
  async function unknown(error) {
    const before = bot.revision;
    confirm.hidden = true;
    for (const { element } of all) element.hidden = true;
    tells.replaceChildren();
    wrong.textContent = `${error.message} It is not known whether it was done. Asking what is so now …`;
    while (dialog.isConnected) {
      const now = await read(`/v1/bots/${encodeURIComponent(bot.bot)}`).catch(() => null);
      if (!dialog.isConnected) return;
      if (!now) {
        await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
        continue;
      }
      wrong.textContent = now.revision === before ? "serin answers again. It was not done so far: nothing has changed. Close this and look before you try again." : "serin answers again, and the bot has changed since you asked.";
      tells.replaceChildren(h("p", { class: "strong" }, "What is so now:"), ...["state", "customers", "next"].map((part) => now.summary[part] && h("p", null, local(now.summary[part]))).filter(Boolean));
      cancel.textContent = "Close";
      return after(now);
    }
  }
}
