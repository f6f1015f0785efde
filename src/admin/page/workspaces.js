// Who is touched: the buckets that fail, whom the weight reaches, who is examined, the largest, and where one workspace goes.

import { read } from "./api.js";
import { h } from "./dom.js";
import { count, isSplit, local, percent, some, weight, worth } from "./words.js";

export function touched(bot, traffic, find) {
  const { examinations } = bot.evidence;
  const { reach, largest, failing } = traffic;
  const looked = examinations.open + examinations.refuted + examinations.went_away;
  return [
    failing.length > 0 && [h("h3", null, "Who fails"), table("The buckets that fail", ["Workspace", "Track", "Failed", "What is known"], failing.map((one) =>
      [who(one, find), track(one), failed(one), h("td", { class: "words" }, local(one.text))]))],
    failing.length === 0 && h("p", null, "No workspace has failed since the split last changed."),
    isSplit(bot) && h("p", { class: "small" }, `The canary has touched ${some(bot.tracks.canary.active_buckets, "bucket")} since then (a bucket is about a workspace while they are few). `,
      reach.now ? `${weight(reach.now.weight_percent)} of the buckets are usually ${percent(reach.now.requests_percent)} of the requests. ` : "",
      reach.next ? `The next step, ${weight(reach.next.weight_percent)}, reaches about ${some(reach.next.active_buckets, "active bucket")}, usually ${percent(reach.next.requests_percent)} of the requests.` : ""),
    looked > 0 && h("details", null, h("summary", null, `Examined: ${count(examinations.open)} open, ${count(examinations.refuted)} fail on stable too, ${count(examinations.went_away)} recovered`),
      table("Examinations", ["Bucket", "Suspected for", "Finding", "Blocks", "Evidence"], examinations.buckets.map((one) =>
        [count(one.bucket), one.suspected_for.replaceAll("_", " "), one.finding.replaceAll("_", " "), count(one.blocks), worth(one.e_value)]))),
    largest.length > 0 && h("details", null, h("summary", null, "The largest"), table("The largest buckets", ["Workspace", "Track", "Of all", "Failed"], largest.map((one) =>
      [who(one, find), track(one), percent(one.requests_percent), failed(one)]))),
  ];
}

/** By name where serin may say it, to be explained at a click; else by its bucket. */
function who(one, find) {
  if (!one.workspace) return `bucket ${one.bucket}`;
  return h("td", null, h("button", { type: "button", class: "link", title: `bucket ${one.bucket}`, click: () => find(one.workspace) }, one.workspace));
}

/** With its rate: 3 of 4 is not 3 of 4,000. */
function failed(one) {
  const part = one.errors + one.late + one.rejected;
  return `${count(part)} of ${count(one.requests)} (${percent((part / Math.max(one.requests, 1)) * 100)})`;
}

const track = (one) => h("td", { class: one.track }, one.track);

function table(name, head, rows) {
  const cells = (row) => h("tr", null, row.map((cell) => (cell instanceof Node ? cell : h("td", null, cell))));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, h("table", { class: "figures" }, h("caption", { class: "unseen" }, name),
    h("thead", null, h("tr", null, head.map((text) => h("th", { scope: "col" }, text)))), h("tbody", null, rows.map(cells))));
}

/** The question where a workspace goes. `find(workspace)` asks it too. */
export function explain(path) {
  const field = h("input", { type: "text", name: "workspace", required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const answer = h("p", { role: "status" });
  const submit = async (event) => {
    event?.preventDefault();
    try {
      const it = await read(`${path}/explain?workspace=${encodeURIComponent(field.value.trim())}`);
      answer.replaceChildren(h("code", null, it.workspace), ` is in bucket ${it.bucket} and goes to `, h("span", { class: `${it.track} strong` }, `${it.track} (${it.upstream})`), `: ${it.reason}. By its rank ${it.attempt ? `in rollout ${it.attempt}` : "in a split by hand"} it is on the canary from ${weight(it.canary_from_percent)} on.`);
    } catch (error) {
      answer.textContent = error.message;
    }
  };
  const form = h("form", { submit }, h("div", { class: "row" }, h("label", { class: "explain" }, "Where does a workspace go?", field), h("button", { type: "submit", class: "plain" }, "Explain")), answer);
  const find = (workspace) => {
    field.value = workspace;
    field.focus();
    submit();
  };
  return { form, find };
}
