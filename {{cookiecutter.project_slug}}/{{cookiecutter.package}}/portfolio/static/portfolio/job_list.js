// The caller's newest jobs. Three sources tell of them, in no order: the event stream each second,
// the WebSocket at once, and the answer to a request that has made one.

// More that were accepted, and are in no state of the stream yet, are not shown.
const MAX_ACCEPTED = 6;

export class JobList {
  // What the stream has listed, the newest first.
  #listed = [];
  // By id, the newest last: those that the stream has not listed yet.
  #accepted = new Map();

  // The newest first.
  get jobs() {
    return [...this.#accepted.values()].reverse().concat(this.#listed);
  }

  // The answer to a request that has made a job. The stream may have told of it before.
  accept(job) {
    if (this.#find(job.id)) return;
    this.#accepted.set(job.id, job);
    if (this.#accepted.size > MAX_ACCEPTED) this.#accepted.delete(this.#accepted.keys().next().value);
  }

  // One job has changed.
  change(job) {
    const known = this.#find(job.id);
    if (!known || known.version >= job.version) return;
    if (this.#accepted.has(job.id)) this.#accepted.set(job.id, { ...known, ...job });
    else this.#listed = this.#listed.map((each) => (each === known ? { ...known, ...job } : each));
  }

  // The jobs of a state of the stream. It may have been read before the last change of a job.
  list(listed) {
    this.#listed = listed.map((job) => {
      const known = this.#find(job.id);
      return known?.version > job.version ? { ...job, ...known, parts: job.parts } : job;
    });
    const newest = Date.parse(listed[0]?.created_at);
    const ids = new Set(listed.map(({ id }) => id));
    for (const { id, created_at } of this.#accepted.values()) {
      // One that is older than the newest and is not listed has fallen off the end of the list.
      if (ids.has(id) || Date.parse(created_at) <= newest) this.#accepted.delete(id);
    }
  }

  // Forgets all of them, as with the token of somebody else.
  clear() {
    this.#listed = [];
    this.#accepted.clear();
  }

  #find(id) {
    return this.#accepted.get(id) ?? this.#listed.find((job) => job.id === id);
  }
}
