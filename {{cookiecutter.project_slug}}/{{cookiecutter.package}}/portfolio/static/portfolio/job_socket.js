// The WebSocket of jobs: their changes at once, and cancels. docs/reference/websockets.md has its
// language. While there is no socket, the event stream of the page tells of jobs each second.

import { ApiError } from "./api.js";
import { $, element } from "./dom.js";
import { deadline, stayConnected } from "./reconnect.js";

// A proxy that does not pass the upgrade on may answer nothing at all.
const OPEN_TIMEOUT_MS = 5000;
// A message that is not answered for so long says that the connection is lost.
const ANSWER_TIMEOUT_MS = 5000;
const NO_SOCKET =
  "There is no WebSocket: the server has refused it, or a proxy does not pass it on. Jobs come by " +
  "the event stream, once a second.";
const REASONS = { 1006: "the connection broke", 1012: "the server stops" };

export class JobSocket {
  #onJob;
  #reconnect = null;
  // The connection, if it is open.
  #socket = null;
  // The jobs that are to be watched, and those that this connection watches.
  #wanted = new Set();
  #watched = new Set();
  // The last version of each job that was seen: what came later is sent again.
  #seen = new Map();
  // By `ref`: what settles the promise of an answer.
  #answers = new Map();
  #lastRef = 0;
  // Ends the connection.
  #abort = null;
  #status = element("p", { id: "socket", class: "connection", role: "status" });

  // Connects, and gives each change of a watched job to `onJob`. Called when the event stream is
  // open: until then a refused token would be sent twice each time.
  start(onJob) {
    if (this.#onJob) return;
    this.#onJob = onJob;
    $("connection").after(this.#status);
    const onLost = ({ message }, pause) =>
      this.#say("lost", `${message} The next try is in ${pause / 1000} s.`);
    this.#reconnect = stayConnected((abort) => this.#connect(abort), onLost);
  }

  // Connects again at once, as with a new token.
  restart() {
    this.#reconnect?.();
  }

  // Watches these jobs and no others.
  watch(ids) {
    this.#wanted = new Set(ids);
    if (!this.#socket) return;
    const before = [...this.#watched].filter((id) => !this.#wanted.has(id));
    const added = ids.filter((id) => !this.#watched.has(id));
    this.#watched = new Set(ids);
    if (before.length) this.#send({ type: "unsubscribe", jobs: before });
    if (added.length) {
      const jobs = added.map((id) => ({ id, after: this.#seen.get(id) ?? -1 }));
      this.#ask({ type: "subscribe", jobs }).catch(({ message }) => this.#say("lost", message));
    }
  }

  // Asks a job to stop; false if there is no socket that answers.
  async cancel(id) {
    return this.#socket ? this.#ask({ type: "cancel", job: id }) : false;
  }

  // Ends with an error when the connection has ended.
  #connect(abort) {
    return new Promise((_, reject) => {
      const address = `${location.origin.replace("http", "ws")}/ws/jobs`;
      const socket = new WebSocket(address, ["offload.v1", `bearer.${$("token").value}`]);
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
        const closed = `The WebSocket was closed (${code}): ${why}`.replace(/\.?$/, ".");
        end(new Error(this.#socket || code !== 1006 ? closed : NO_SOCKET));
      };
    });
  }

  #open(socket, abort) {
    this.#socket = socket;
    this.#abort = abort;
    this.#say("live", "The WebSocket is open: each change of a job comes at once.");
    this.watch([...this.#wanted]);
  }

  #forget() {
    this.#socket = null;
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
    const silence = deadline(ANSWER_TIMEOUT_MS, () =>
      this.#abort.abort(new Error("The WebSocket does not answer.")),
    );
    this.#answers.set(ref, (told) => {
      silence.end();
      this.#answers.delete(ref);
      if (told?.type === "error") reject(new ApiError(told.problem.status, told.problem.detail));
      else resolve(Boolean(told));
    });
    this.#send({ ...message, ref });
    return promise;
  }

  #hear(told) {
    if (told.ref) return this.#answers.get(told.ref)?.(told);
    if (!told.job) return undefined;
    this.#seen.set(told.id, told.version);
    return this.#onJob(told.job);
  }

  #say(state, sentence) {
    this.#status.className = `connection ${state}`;
    this.#status.textContent = sentence;
  }
}

// `Promise.withResolvers` is younger than many browsers.
function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
