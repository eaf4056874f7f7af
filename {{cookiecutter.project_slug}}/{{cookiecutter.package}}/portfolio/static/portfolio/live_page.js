// The live page: its buttons, and the event stream that the other modules draw. No build step, no
// library.

import { call } from "./api.js";
import { $, element, milliseconds } from "./dom.js";
import { follow } from "./events.js";
import { drawHistogram } from "./histogram.js";
import { drawJobs, isLively } from "./jobs.js";
import { drawGap, drawLoop } from "./loop.js";
import { drawService } from "./service.js";
import { drawWaterfall } from "./waterfall.js";

// Jobs that the server has accepted and that were in no event yet.
const accepted = new Map();
let jobs = [];
// The job whose result was drawn by itself.
let drawn = null;
// What tells of jobs sooner than the event stream, or null.
let sooner = null;

function holdings() {
  const found = {};
  for (const part of $("holdings").value.split(",")) {
    const [symbol, quantity] = part.trim().split(/\s+/);
    if (symbol) found[symbol.toUpperCase()] = Number(quantity ?? 1);
  }
  return found;
}

// Runs an action, and shows why it failed.
async function attempt(action) {
  $("error").hidden = true;
  try {
    await action();
  } catch (error) {
    $("error").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
    $("error").hidden = false;
  }
}

async function ask() {
  const started = performance.now();
  const symbols = encodeURIComponent(Object.keys(holdings()).join(","));
  const { quotes, sources, requests } = await (await call(`/api/portfolio/quotes?symbols=${symbols}`)).json();
  const elapsed = performance.now() - started;
  drawWaterfall($("waterfall"), sources, requests);
  const waited = Object.values(sources).reduce((sum, { ms }) => sum + ms, 0);
  $("total").textContent =
    `${milliseconds(elapsed)} for all of them at once; one after the other: ${milliseconds(waited)}.`;
  const rows = Object.entries(quotes).map(([symbol, price]) =>
    element("tr", {}, element("th", { scope: "row" }, symbol), element("td", {}, price.toFixed(2))),
  );
  $("quotes").tBodies[0].replaceChildren(...rows);
}

async function compute() {
  const [simulations, seed] = [Number($("simulations").value), Number($("seed").value)];
  const body = JSON.stringify({ holdings: holdings(), simulations, seed });
  const job = await (await call("/api/portfolio/risk", { method: "POST", body })).json();
  accepted.set(job.id, job);
  draw();
}

const act = {
  cancel: (job) =>
    attempt(
      async () =>
        (await sooner?.cancel(job.id)) || call(`/api/jobs/${job.id}`, { method: "DELETE" }),
    ),
  show: (job) => attempt(async () => drawHistogram(job, await (await call(job.result_url)).json())),
};

function draw() {
  const shown = [...accepted.values()].reverse().concat(jobs);
  drawJobs(shown, act);
  sooner?.watch(shown.filter(isLively).map(({ id }) => id));
}

function onJob(changed) {
  const known = accepted.get(changed.id);
  if (known) accepted.set(changed.id, { ...known, ...changed });
  jobs = jobs.map((job) => (job.id === changed.id ? { ...job, ...changed } : job));
  draw();
}

function onState(state) {
  say("live", "Live: the server sends its state each second.");
  sooner?.start(onJob);
  drawLoop(state);
  drawService(state);
  // While the database is away, the jobs stay as they were.
  if (!state.jobs) return;
  jobs = state.jobs;
  for (const { id } of jobs) accepted.delete(id);
  draw();
  const newest = jobs.find(({ kind, result_url }) => kind === "portfolio.risk" && result_url);
  if (newest && newest.id !== drawn) act.show(newest);
  drawn = newest?.id;
}

function onLost(reason, pause) {
  drawGap();
  const why = reason.status ? reason.message : "The connection to the server is lost.";
  say("lost", `${why} The next try is in ${pause / 1000} s.`);
}

// A text is read aloud when it changes, so it is set only then.
function say(state, sentence) {
  if ($("connection").textContent === sentence) return;
  $("connection").className = `connection ${state}`;
  $("connection").textContent = sentence;
}

// A second after the answer, and not each second: a slow answer is not asked for twice.
async function askAgain() {
  if ($("again").checked && !document.hidden) await attempt(ask);
  setTimeout(askAgain, 1000);
}

// Starts the page. `jobEvents` has `start`, `restart`, `watch` and `cancel`, or is left out.
export function startPage(jobEvents = null) {
  sooner = jobEvents;
  const reconnect = follow("/api/portfolio/live", onState, onLost);
  $("token").addEventListener("change", () => {
    reconnect();
    sooner?.restart();
  });
  $("ask").addEventListener("click", () => attempt(ask));
  $("compute").addEventListener("click", () => attempt(compute));
  $("block")?.addEventListener("click", () =>
    attempt(() => call("/api/portfolio/live/block", { method: "POST" })),
  );
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  attempt(ask).then(askAgain);
}
