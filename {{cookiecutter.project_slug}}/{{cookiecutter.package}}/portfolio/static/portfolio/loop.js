// The event loop: its longest lag in each second as a line, behind it the share of the computing
// processes that are busy, and the places that the guard has named.

import { $, element, milliseconds, svg } from "./dom.js";

// Its processes compute; those of other queues mostly wait.
const COMPUTING_QUEUE = "cpu";
const SECONDS = 60;
const WIDTH = 600;
const HEIGHT = 100;
// The guard reports a block from this time on (`block_threshold`).
const THRESHOLD_MS = 100;
const TOPS_MS = [100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000];

// The newest last; null for a second without an event.
const samples = Array(SECONDS).fill(null);

export function drawLoop({ lag_ms, workers, blocks }) {
  const computing = (workers ?? []).filter(({ queues }) => queues.includes(COMPUTING_QUEUE));
  const [busy, slots] = [sum(computing, "busy"), sum(computing, "slots")];
  add({ lag: lag_ms ?? 0, busy: slots ? busy / slots : 0 });
  $("lag").textContent = milliseconds(lag_ms ?? 0);
  $("busy").textContent = `${busy} of ${slots}`;
  drawBlocks(blocks);
}

// The connection is lost: the line has a gap.
export function drawGap() {
  if (samples.at(-1)) add(null);
}

function sum(workers, field) {
  return workers.reduce((total, worker) => total + worker[field], 0);
}

function add(sample) {
  samples.shift();
  samples.push(sample);
  const worst = Math.max(...samples.map((each) => each?.lag ?? 0));
  const top = TOPS_MS.find((each) => each >= worst) ?? worst;
  const y = (ms) => HEIGHT * (1 - ms / top);
  const step = WIDTH / (SECONDS - 1);

  const busy = samples.map((each, index) => {
    const height = HEIGHT * Math.min(each?.busy ?? 0, 1);
    return svg("rect", { class: "busy", x: (index - 0.5) * step, y: HEIGHT - height, width: step, height });
  });
  const points = samples.map((each, index) => {
    if (!each) return "";
    return `${samples[index - 1] ? "L" : "M"}${(index * step).toFixed(1)} ${y(each.lag).toFixed(1)}`;
  });
  const threshold = { class: "threshold", x1: 0, x2: WIDTH, y1: y(THRESHOLD_MS), y2: y(THRESHOLD_MS) };
  $("chart").replaceChildren(
    ...busy,
    svg("line", threshold),
    svg("path", { class: "lag", d: points.join("") }),
  );
  $("top").textContent = milliseconds(top);
  $("chart").setAttribute("aria-label", `Lag of the event loop in the last minute: ${milliseconds(worst)} at most`);
}

// The ids of the blocks that the last state had.
let known = new Set();

function drawBlocks(blocks) {
  for (const { id, at, sentence } of blocks) {
    if (known.has(id)) continue;
    const time = new Date(1000 * at).toLocaleTimeString("en-GB");
    $("blocks").prepend(element("li", {}, element("time", {}, time), ` ${sentence}`));
    while ($("blocks").children.length > 3) $("blocks").lastChild.remove();
  }
  known = new Set(blocks.map(({ id }) => id));
  $("no-blocks").hidden = $("blocks").children.length > 0;
}
