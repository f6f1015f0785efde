// Elements without a framework. Text always goes in as text: nothing that a bot or a customer is called becomes markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "line", "text", "circle", "title"]);

/** An element: `h("p", { class: "soft" }, "text", child)`. A function as attribute is a listener; null leaves one out. */
export function h(tag, attributes, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A place whose content is made anew only when what it shows has changed, so that focus and open details stay. */
export function place(tag, attributes) {
  const element = h(tag, attributes);
  let shown;
  element.show = (of, make) => {
    const now = JSON.stringify(of);
    if (now === shown) return;
    shown = now;
    element.replaceChildren(...[make()].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  };
  return element;
}

/** Says something to whoever does not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
