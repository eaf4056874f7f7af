// Keeps a connection open: connects again when it is lost, after random pauses that grow.

// Bounds of the longest pause. Each pause is random between nothing and the longest one, since all
// pages lose a server that restarts at the same moment (Marc Brooker, "Exponential Backoff And
// Jitter", AWS Architecture Blog, 2015: "full jitter").
const MIN_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 10_000;
// The longest `Retry-After` that counts. Who left a page open sees it live again soon after a repair,
// and a browser's timer of more than 24.8 days would end at once.
const MAX_RETRY_AFTER_MS = 600_000;
// Why a connection was ended that is to be made again at once.
const AGAIN = new Error("again");

// Calls `connect(abort)`, whose promise ends with the connection. `abort`, an AbortController, ends
// it. `onLost` gets the reason, an Error, and when the next try is, in ms. It is null where the token
// was refused: the server counts wrong tokens, and refuses an address that sends many. Returns a
// function that connects again at once, as with a new token.
export function stayConnected(connect, onLost) {
  let restart = () => {};
  let isRefused = false;

  async function run() {
    for (let longest = MIN_PAUSE_MS; ; ) {
      await shown();
      isRefused = false;
      const started = performance.now();
      const abort = new AbortController();
      restart = () => abort.abort(AGAIN);
      const reason = await connect(abort).catch((error) => error);
      // A connection that had lasted says that the server is well: begin with the shortest pause.
      if (reason === AGAIN || performance.now() - started > MAX_PAUSE_MS) longest = MIN_PAUSE_MS;
      if (reason === AGAIN) continue;
      isRefused = reason?.status === 401;
      // A server that has no room says when to come again (`Retry-After`).
      const asked = Math.min(1000 * (reason?.retryAfter ?? 0), MAX_RETRY_AFTER_MS);
      const pause = asked + Math.random() * longest;
      onLost(reason ?? new Error("The server has ended the stream."), isRefused ? null : pause);
      await new Promise((resolve) => {
        restart = resolve;
        if (!isRefused) setTimeout(resolve, pause);
      });
      longest = Math.min(2 * longest, MAX_PAUSE_MS);
    }
  }

  // A page that nobody sees costs the server nothing. One whose token was refused has no connection,
  // and would send the token again.
  document.addEventListener("visibilitychange", () => document.hidden && !isRefused && restart());
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
