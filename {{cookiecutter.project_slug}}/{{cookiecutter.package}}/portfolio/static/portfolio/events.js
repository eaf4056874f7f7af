// Follows an event stream that never ends, by fetch: an EventSource cannot send a token.

import { call } from "./api.js";

// The server sends an event each second. A connection that is silent for so long is lost.
const MAX_SILENCE_MS = 8000;
const MIN_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 10_000;
// Why a connection was ended that is to be made again at once.
const AGAIN = new Error("again");

// Gives the data of each event to `onEvent`. `onLost` gets the reason, an Error, and when the next
// try is, in ms. Returns a function that connects again at once, as with a new token.
export function follow(path, onEvent, onLost) {
  let restart = () => {};

  async function connect() {
    const abort = new AbortController();
    restart = () => abort.abort(AGAIN);
    const silence = deadline(MAX_SILENCE_MS, () => abort.abort());
    try {
      const { body } = await call(path, { signal: abort.signal });
      for await (const data of events(body)) {
        silence.extend();
        onEvent(data);
      }
    } finally {
      silence.end();
      abort.abort();
    }
  }

  async function run() {
    for (let pause = MIN_PAUSE_MS; ; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
      await shown();
      const started = performance.now();
      const reason = await connect().catch((error) => error);
      if (reason === AGAIN) continue;
      // A connection that had lasted says that the server is well: begin with the shortest pause.
      if (performance.now() - started > MAX_PAUSE_MS) pause = MIN_PAUSE_MS;
      onLost(reason ?? new Error("The server has ended the stream."), pause);
      await new Promise((resolve) => setTimeout((restart = resolve), pause));
    }
  }

  // A page that nobody sees costs the server nothing.
  document.addEventListener("visibilitychange", () => document.hidden && restart());
  run();
  return () => restart();
}

function deadline(ms, onEnd) {
  let timer = setTimeout(onEnd, ms);
  const end = () => clearTimeout(timer);
  return { end, extend: () => (end(), (timer = setTimeout(onEnd, ms))) };
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (pending + part.value).split("\n\n");
    pending = whole.pop();
    for (const event of whole) {
      const line = event.split("\n").find((each) => each.startsWith("data: "));
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}

function shown() {
  if (!document.hidden) return undefined;
  return new Promise((resolve) =>
    document.addEventListener("visibilitychange", resolve, { once: true }),
  );
}
