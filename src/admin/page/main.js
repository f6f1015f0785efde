// Which page is shown, who may see it, and what comes in live.

import { listen, read, token } from "./api.js";
import { botPage } from "./bot.js";
import { h, say } from "./dom.js";
import { heard, isConnected, restart } from "./fresh.js";
import { forgetMe, meet } from "./me.js";
import { overview } from "./overview.js";
import { signIn } from "./signin.js";
import { by } from "./words.js";

const main = document.getElementById("main");
const forget = document.getElementById("forget");

let page = null;
let stop = () => {};
/** The page whose data is asked for. */
let turn = 0;

function refuse(problem) {
  page?.end();
  page = null;
  turn++;
  stop();
  restart();
  forgetMe();
  forget.hidden = true;
  document.title = "serin";
  const { view, focus } = signIn(problem, begin);
  main.replaceChildren(...view);
  focus();
}

const isDenied = (error) => error.status === 401 || error.status === 403;
const back = () => h("nav", { "aria-label": "Way back" }, h("a", { href: "#/" }, "‹ All bots"));

/** Shows what the address says. `moved`: somebody went there, and the focus goes along. */
async function route(moved) {
  if (location.hash === "#main") return main.focus();
  const name = wanted();
  page?.end();
  page = name ? botPage(name) : overview();
  const shown = page;
  const mine = ++turn;
  document.title = name ? `${name} – serin` : "serin";
  try {
    await page.news();
    heard();
    if (mine !== turn) return;
    main.replaceChildren(...[name && back(), ...page.view.flat()].filter(Boolean));
    if (moved) main.querySelector("h1").focus();
  } catch (error) {
    if (mine !== turn || page !== shown) return;
    if (isDenied(error)) return refuse(error);
    page.end();
    page = null;
    main.replaceChildren(back(), h("h1", { tabindex: -1 }, name ?? "Bots"), h("p", { class: "alarm", role: "alert" }, error.message));
    if (moved) main.querySelector("h1").focus();
  }
}

/** The bot that the address names. */
function wanted() {
  const name = /^#\/bots\/([^/]+)$/.exec(location.hash)?.[1];
  try {
    return name && decodeURIComponent(name);
  } catch {
    return name;
  }
}

async function begin() {
  stop();
  forget.hidden = !token.get();
  let lost = false;
  stop = listen({
    heard,
    // A bot that was not there when it was asked for has a page now.
    status: (bot) => (page ? page.update(bot) : bot.bot === wanted() && route()),
    gone: (name) => (name === wanted() ? route() : page?.gone(name)),
    change(row) {
      page?.changed(row)?.catch(() => {});
      if (row) say(`${row.bot}: ${row.text}, ${by(row)}.`);
    },
    state(connected, problem) {
      if (problem) return refuse(problem);
      isConnected(connected);
      if (connected && lost) {
        // What happened meanwhile nobody has told, and who may do what may be otherwise.
        meet().catch(() => {});
        page ? page.news().catch(() => {}) : route();
      }
      lost = !connected;
    },
  });
  try {
    await meet();
  } catch (error) {
    if (isDenied(error)) return refuse(error);
  }
  route();
}

window.addEventListener("hashchange", () => route(true));
forget.addEventListener("click", () => {
  token.forget();
  location.reload();
});
begin();
