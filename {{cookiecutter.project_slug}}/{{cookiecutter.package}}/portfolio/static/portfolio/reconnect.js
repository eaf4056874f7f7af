// Keeps a connection open: connects again when it is lost, after pauses that grow.

const MIN_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 10_000;
// Why a connection was ended that is to be made again at once.
const AGAIN = new Error("again");

// Calls `connect(abort)`, whose promise ends with the connection. `abort`, an AbortController, ends
// it. `onLost` gets the reason, an Error, and when the next try is, in ms. Returns a function that
// connects again at once, as with a new token.
export function stayConnected(connect, onLost) {
  let restart = () => {};

  async function run() {
    for (let pause = MIN_PAUSE_MS; ; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
      await shown();
      const started = performance.now();
      const abort = new AbortController();
      restart = () => abort.abort(AGAIN);
      const reason = await connect(abort).catch((error) => error);
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

export function deadline(ms, onEnd) {
  let timer = setTimeout(onEnd, ms);
  const end = () => clearTimeout(timer);
  return { end, extend: () => (end(), (timer = setTimeout(onEnd, ms))) };
}

function shown() {
  if (!document.hidden) return undefined;
  return new Promise((resolve) =>
    document.addEventListener("visibilitychange", resolve, { once: true }),
  );
}
