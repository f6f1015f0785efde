// The API, with the token of whoever looks at this page. The token is kept for this tab, or, if asked, for this browser.

const KEY = "serin-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY),
  set(value, remember) {
    token.forget();
    (remember ? localStorage : sessionStorage).setItem(KEY, value);
  },
  forget() {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  },
  /** The first character that no token has and no header takes, or none. */
  wrong: (value) => [...value].find((character) => !/[!-~]/.test(character)),
};

/** What the API said no with: a problem document's parts. Status 0: it said nothing. */
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code });
  }

  /** Whether the change it answers may have been made all the same. */
  get unknown() {
    return this.status === 0;
  }
}

/** Whoever has heard nothing for so long need not wait longer. */
const TIMEOUT_MS = 10000;

function headers(more) {
  const known = token.get();
  return known ? { ...more, Authorization: `Bearer ${known}` } : more;
}

async function checked(answer) {
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, problem.code ?? "", problem.detail ?? `serin answered ${answer.status}`);
}

async function asked(path, options, read) {
  try {
    return await read(await checked(await fetch(path, options)));
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw new Problem(0, "timeout", `serin has not answered for ${TIMEOUT_MS / 1000} s.`);
    throw new Problem(0, "unreachable", "serin does not answer: is it running, and is this still its address?");
  }
}

export function read(path) {
  return asked(path, { headers: headers({}), signal: AbortSignal.timeout(TIMEOUT_MS) }, (answer) => answer.json());
}

/** A change; `revision` is what it is based on, null where it is right whatever has happened meanwhile. */
export function change(method, path, body, revision) {
  const more = { "Content-Type": "application/json" };
  if (revision !== null) more["If-Match"] = `"${revision}"`;
  const options = { method, headers: headers(more), body: JSON.stringify(body), signal: AbortSignal.timeout(TIMEOUT_MS) };
  return asked(path, options, (answer) => answer.json());
}

const RETRY_MS = [1000, 2000, 5000, 10000];
/** serin says something at least every 2 s: a connection on which nothing comes for so long is dead. */
const SILENCE_MS = 10000;

/**
 * Listens for ever, until the returned function is called. `on.status(bot)`, `on.gone(name)`, `on.change(row)`,
 * `on.heard()` whenever anything came, `on.state(connected, problem)`.
 */
export function listen(on) {
  let ended = false;
  let current;
  (async () => {
    for (let failed = 0; !ended; ) {
      current = new AbortController();
      try {
        await asked("/v1/events?status=true", { headers: headers({}), signal: quiet(current) }, (answer) => {
          failed = 0;
          on.state(true);
          return events(answer.body, current, on);
        });
      } catch (error) {
        if (ended) return;
        if (error.status === 401 || error.status === 403) return on.state(false, error);
      }
      if (ended) return;
      on.state(false);
      await new Promise((done) => setTimeout(done, RETRY_MS[Math.min(failed++, RETRY_MS.length - 1)]));
    }
  })();
  return () => {
    ended = true;
    current?.abort();
  };
}

/** Ends the waiting for the answer's beginning too. */
function quiet(controller) {
  controller.silence = setTimeout(() => controller.abort(), SILENCE_MS);
  return controller.signal;
}

/** Server-sent events by hand, for EventSource sends no token. */
async function events(body, controller, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    clearTimeout(controller.silence);
    quiet(controller);
    const { value, done } = await reader.read().finally(() => clearTimeout(controller.silence));
    if (done) return;
    on.heard();
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (fields.event === "status") on.status(JSON.parse(fields.data));
      if (fields.event === "gone") on.gone(JSON.parse(fields.data).bot);
      if (fields.event === "change") on.change(JSON.parse(fields.data));
      if (fields.event === "missed") on.change(null);
    }
  }
}
