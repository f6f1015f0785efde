// Elements without a framework. Text always goes in as text: nothing that a bot or a customer is called becomes markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "line", "rect", "text", "circle", "title"]);

const isShown = (child) => child !== null && child !== undefined && child !== false;

/** An element: `h("p", { class: "soft" }, "text", child)`. A function as attribute is a listener; null leaves one out. */
export function h(tag, attributes, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (isShown(value)) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(isShown));
  return element;
}

/**
 * A place whose content is made anew only when what it shows has changed, so that open details stay. What had the focus has
 * it again, if the new content has its `data-key` too; otherwise the first button that can be pressed has it.
 */
export function place(tag, attributes) {
  const element = h(tag, attributes);
  let shown;
  element.show = (of, make) => {
    const now = JSON.stringify(of);
    if (now === shown) return;
    shown = now;
    const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    element.replaceChildren(...[make()].flat(Infinity).filter(isShown));
    if (!key) return;
    const again = [...element.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    (again ?? element.querySelector("button:enabled"))?.focus({ preventScroll: true });
  };
  return element;
}

/** A drawing that says nothing: the words beside it do. */
export function drawing(path, attributes) {
  return h("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false", ...attributes }, path);
}

/** Says something to whoever does not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
