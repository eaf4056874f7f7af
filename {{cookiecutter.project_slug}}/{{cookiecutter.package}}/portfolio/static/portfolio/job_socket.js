// The WebSocket of jobs: their changes at once, and cancels. docs/reference/websockets.md has its
// language. While there is no socket, the event stream of the page tells of jobs each second.

import { ApiError, token } from "./api.js";
import { $, element, nextTry, say } from "./dom.js";
import { deadline, stayConnected } from "./reconnect.js";

// A proxy that does not pass the upgrade on may answer nothing at all.
const OPEN_TIMEOUT_MS = 5000;
// A message that is not answered for so long says that the connection is lost.
const ANSWER_TIMEOUT_MS = 5000;
// After a silence of so long the server is asked for an answer. A connection that a network has
// forgotten is not closed: nothing tells of it.
const MAX_SILENCE_MS = 20_000;
const NO_ANSWER = "The WebSocket does not answer.";
const OPEN = "The WebSocket is open: each change of a job comes at once.";
const NO_SOCKET =
  "There is no WebSocket: the server has refused it, or a proxy does not pass it on. Jobs come by " +
  "the event stream, once a second.";
const REASONS = { 1006: "the connection broke", 1012: "the server stops" };
const LOGIN_ENDED = 4401;

export class JobSocket {
  #onJob;
  #reconnect = null;
  // The connection, if it is open.
  #socket = null;
  // The jobs that are to be watched, and the ids of those that this connection watches.
  #wanted = [];
  #watched = new Set();
  // By `ref`: what settles the promise of an answer.
  #answers = new Map();
  #lastRef = 0;
  // Ends the connection.
  #abort = null;
  #silence = null;
  // Its promise ends when the token may be sent.
  #permission = withResolvers();
  #status = element("p", { id: "socket", class: "connection", role: "status" });

  // Connects, and gives each change of a watched job to `onJob`. Called with each event of the event
  // stream: a browser does not tell why a WebSocket was refused, but why a stream was.
  start(onJob) {
    this.#permission.resolve();
    if (this.#onJob) return;
    this.#onJob = onJob;
    $("connection").after(this.#status);
    const onLost = ({ message }, pause) => this.#say("lost", `${message} ${nextTry(pause)}`);
    this.#reconnect = stayConnected((abort) => this.#connect(abort), onLost);
  }

  // Connects again at once, as with a new token.
  restart() {
    this.#permission.resolve();
    this.#reconnect?.();
  }

  // Closes the connection, since the token was refused. There is none until `start` or `restart`.
  stop() {
    // Who waits for it is woken, finds that the connection is to end, and waits for the new one.
    this.#permission.resolve();
    this.#permission = withResolvers();
    this.#reconnect?.();
    this.#say("lost", "The WebSocket waits for the event stream.");
  }

  // Watches these jobs and no others. Of each the changes after its `version` are sent.
  watch(wanted) {
    this.#wanted = wanted;
    if (!this.#socket) return;
    const ids = new Set(wanted.map(({ id }) => id));
    const before = [...this.#watched].filter((id) => !ids.has(id));
    const added = wanted.filter(({ id }) => !this.#watched.has(id));
    this.#watched = ids;
    if (before.length) this.#send({ type: "unsubscribe", jobs: before });
    if (added.length) {
      const jobs = added.map(({ id, version }) => ({ id, after: version ?? -1 }));
      this.#ask({ type: "subscribe", jobs }).catch(({ message }) => this.#say("lost", message));
    }
  }

  // Asks a job to stop; false if there is no socket that answers.
  async cancel(id) {
    return this.#socket ? this.#ask({ type: "cancel", job: id }) : false;
  }

  // Ends with an error when the connection has ended.
  async #connect(abort) {
    await this.#permission.promise;
    abort.signal.throwIfAborted();
    return new Promise((_, reject) => {
      const address = `${location.origin.replace("http", "ws")}/ws/jobs`;
      const socket = new WebSocket(address, ["offload.v1", `bearer.${token()}`]);
      const end = (reason) => {
        opening.end();
        abort.signal.onabort = socket.onclose = socket.onopen = socket.onmessage = null;
        socket.close();
        this.#forget();
        reject(reason);
      };
      const opening = deadline(OPEN_TIMEOUT_MS, () => end(new Error(NO_SOCKET)));
      abort.signal.onabort = () => end(abort.signal.reason);
      socket.onopen = () => {
        opening.end();
        this.#open(socket, abort);
      };
      socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
      socket.onclose = ({ code, reason }) => {
        const why = reason || REASONS[code] || "without a reason";
        // The stream ends, too. The token is sent again if the stream goes on.
        if (code === LOGIN_ENDED) this.#permission = withResolvers();
        const closed = `The WebSocket was closed (${code}): ${why}`.replace(/\.?$/, ".");
        end(new Error(this.#socket || code !== 1006 ? closed : NO_SOCKET));
      };
    });
  }

  #open(socket, abort) {
    this.#socket = socket;
    this.#abort = abort;
    this.#say("live", OPEN);
    this.#expectMessage();
    this.watch(this.#wanted);
  }

  // Ends the connection if nothing comes, not even an answer.
  #expectMessage() {
    this.#silence?.end();
    this.#silence = deadline(MAX_SILENCE_MS, () => {
      this.#send({ type: "ping" });
      this.#silence = deadline(ANSWER_TIMEOUT_MS, () => this.#abort.abort(new Error(NO_ANSWER)));
    });
  }

  #forget() {
    this.#socket = null;
    this.#silence?.end();
    this.#watched.clear();
    for (const settle of this.#answers.values()) settle(false);
    this.#answers.clear();
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  // True for an answer; false if the connection is lost before. An ApiError if it is refused.
  #ask(message) {
    const ref = String(++this.#lastRef);
    const { promise, resolve, reject } = withResolvers();
    const silence = deadline(ANSWER_TIMEOUT_MS, () => this.#abort.abort(new Error(NO_ANSWER)));
    this.#answers.set(ref, (told) => {
      silence.end();
      this.#answers.delete(ref);
      // An answer with an `id` is about one of several jobs.
      if (told?.type === "error" && !told.id) reject(new ApiError(told.problem.status, told.problem.detail));
      else resolve(Boolean(told));
    });
    this.#send({ ...message, ref });
    return promise;
  }

  #hear(told) {
    this.#expectMessage();
    if (told.ref) this.#answers.get(told.ref)?.(told);
    if (told.type === "subscribed") this.#say("live", OPEN);
    // A job that was deleted is in no state of the stream any more.
    if (told.type === "error" && told.id && told.problem.status !== 404) {
      this.#say("lost", `${told.problem.detail} Its changes come by the event stream.`);
    }
    if (told.job && !told.ref) this.#onJob({ ...told.job, version: told.version });
  }

  #say(state, sentence) {
    say(this.#status, state, sentence);
  }
}

// `Promise.withResolvers` is younger than many browsers.
function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
