// The fields of a question. Each has `element`, and `value()`: null where nothing is said.

import { h } from "./dom.js";

const others = (bot) => bot.upstreams.filter((side) => side.upstream !== bot.stable.upstream);

/** `field`: `name`, `label`, `kind`, and `choices` ([value, text]) where the kind is "choice". */
export function input(field, bot) {
  const { name, label, kind } = field;
  switch (kind) {
    case "check": {
      const box = h("input", { type: "checkbox", name });
      return { name, element: h("label", { class: "check" }, box, label), value: () => box.checked || null };
    }
    case "other side":
      return choice(name, label, others(bot).map(side));
    case "any side":
      return choice(name, label, [bot.stable, ...others(bot)].map(side));
    case "choice":
      return choice(name, label, field.choices);
    case "percent": {
      const number = h("input", { type: "number", name, min: 0, max: bot.max_percent, step: 0.01, required: true, value: bot.weight_percent, inputmode: "decimal" });
      return { name, element: h("label", null, label, number), value: () => number.valueAsNumber };
    }
    default:
      return text(name, label);
  }
}

const side = ({ upstream }) => [upstream, upstream];

function choice(name, label, choices) {
  const select = h("select", { name }, choices.map(([, text]) => h("option", null, text)));
  return { name, element: h("label", null, label, select), value: () => choices[select.selectedIndex][0] };
}

function text(name, label) {
  const box = h("input", { type: "text", name, autocomplete: "off", maxlength: 256 });
  const needed = h("span", { class: "small soft", hidden: true }, "It is needed here.");
  const made = { name, required: false, element: h("label", null, label, needed, box), value: () => box.value.trim() || null };
  made.require = (required) => {
    made.required = box.required = required;
    needed.hidden = !required;
  };
  return made;
}
