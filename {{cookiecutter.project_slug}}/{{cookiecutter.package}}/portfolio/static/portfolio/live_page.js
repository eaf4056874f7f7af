// The live page: its buttons, and the event stream that the other modules draw. No build step, no
// library.

import { ApiError, call } from "./api.js";
import { $, element, milliseconds, nextTry, say } from "./dom.js";
import { follow } from "./events.js";
import { drawHistogram } from "./histogram.js";
import { JobList } from "./job_list.js";
import { drawJobs, isLively } from "./jobs.js";
import { drawGap, drawLoop } from "./loop.js";
import { drawService } from "./service.js";
import { drawWaterfall } from "./waterfall.js";

const list = new JobList();
// The job whose result was drawn by itself.
let drawn = null;
// The job whose result was asked for last. An answer to an earlier question is not drawn.
let asked = null;
// The action whose error is shown.
let failed = null;
// How `fetch` fails: without a connection, and after its deadline.
const NO_ANSWER = new Set(["TypeError", "TimeoutError", "AbortError"]);
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

// Runs an action, and shows why it failed; returns whether it did not. What happens by itself does
// not hide the error of something else, and an error that stays is read aloud once.
async function attempt(action) {
  try {
    await action();
    if (failed === action) hideError();
    return true;
  } catch (error) {
    if (failed && failed !== action) return false;
    failed = action;
    const isAnswered = !NO_ANSWER.has(error.name);
    const sentence = isAnswered ? error.message : "The server does not answer.";
    // A fault of the page itself.
    if (isAnswered && !(error instanceof ApiError)) console.error(error);
    if ($("error").textContent !== sentence) $("error").textContent = sentence;
    $("error").hidden = false;
    return false;
  }
}

// Runs an action that the user has asked for.
function attemptAsAsked(action) {
  hideError();
  return attempt(action);
}

function hideError() {
  failed = null;
  $("error").hidden = true;
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
  list.accept(await (await call("/api/portfolio/risk", { method: "POST", body })).json());
  draw();
}

async function show(job) {
  asked = job.id;
  const result = await (await call(job.result_url)).json();
  if (asked === job.id) drawHistogram(job, result);
}

const act = {
  cancel: (job) =>
    attemptAsAsked(
      async () =>
        (await sooner?.cancel(job.id)) || call(`/api/jobs/${job.id}`, { method: "DELETE" }),
    ),
  show: (job) => attemptAsAsked(() => show(job)),
};

function draw() {
  drawJobs(list.jobs, act);
  sooner?.watch(list.jobs.filter(isLively));
}

function onJob(changed) {
  list.change(changed);
  draw();
}

function onState(state) {
  say($("connection"), "live", "Live: the server sends its state each second.");
  sooner?.start(onJob);
  drawLoop(state);
  drawService(state);
  // While the database is away, the jobs stay as they were.
  if (!state.jobs) return;
  list.list(state.jobs);
  draw();
  const newest = list.jobs.find(({ kind, result_url }) => kind === "portfolio.risk" && result_url);
  if (newest && newest.id !== drawn) attempt(() => show(newest));
  drawn = newest?.id;
}

function onLost(reason, pause) {
  drawGap();
  const why = reason.status ? reason.message : "The connection to the server is lost.";
  say($("connection"), "lost", `${why} ${nextTry(pause)}`);
  if (reason.status === 401) sooner?.stop();
}

// The token may be that of somebody else.
function forget() {
  list.clear();
  draw();
  asked = drawn = null;
  $("result").hidden = true;
}

// A second after the answer, and not each second: a slow answer is not asked for twice.
async function askAgain() {
  if ($("again").checked && !document.hidden) await attempt(ask);
  setTimeout(askAgain, 1000);
}

// Starts the page. `jobEvents` has `start`, `restart`, `stop`, `watch` and `cancel`, or is left out.
export function startPage(jobEvents = null) {
  sooner = jobEvents;
  const reconnect = follow("/api/portfolio/live", onState, onLost);
  $("token").addEventListener("change", () => {
    forget();
    reconnect();
    sooner?.restart();
  });
  $("ask").addEventListener("click", () => attemptAsAsked(ask));
  $("compute").addEventListener("click", () => attemptAsAsked(compute));
  $("block")?.addEventListener("click", () =>
    attemptAsAsked(() => call("/api/portfolio/live/block", { method: "POST" })),
  );
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  attempt(ask).then(askAgain);
}
