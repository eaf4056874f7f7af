// The waterfall: a row for each source, a bar for each request. A retry stands behind the request
// before it, and a hedged request below the slow one.

import { element, milliseconds, svg } from "./dom.js";

const WIDTH = 1000;
const LANE = 10;

export function drawWaterfall(list, sources, requests) {
  const ends = Object.values(requests).flat().map(({ start_ms, ms }) => start_ms + ms);
  const longest = Math.max(...Object.values(sources).map(({ ms }) => ms), ...ends, 1);
  const rows = Object.entries(sources).map(([name, source]) => {
    const bars = requests[name].map((request, index) => ({ ...request, kind: kindOf(request, index) }));
    return element(
      "li",
      { class: source.status },
      element("span", { class: "name" }, name),
      track(name, bars, longest),
      element("span", { class: "said" }, said(source, bars)),
    );
  });
  list.replaceChildren(...rows);
}

function kindOf({ is_hedge }, index) {
  if (is_hedge) return "hedge";
  return index === 0 ? "request" : "retry";
}

function track(name, bars, longest) {
  const height = bars.some(({ is_hedge }) => is_hedge) ? 2 * LANE : LANE;
  const sentences = bars.map(sentence);
  const label = `${name}: ${sentences.join("; ") || "nothing was sent"}`;
  const rects = bars.map((bar, index) => {
    const x = Math.max((WIDTH * bar.start_ms) / longest, 0);
    const width = Math.max((WIDTH * (bar.start_ms + bar.ms)) / longest - x, 3);
    const y = bar.is_hedge ? LANE + 1 : 1;
    const box = { class: `${bar.kind} ${bar.status}`, x, y, width, height: LANE - 2 };
    return svg("rect", box, svg("title", {}, sentences[index]));
  });
  const view = { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none" };
  return svg("svg", { ...view, class: "track", role: "img", "aria-label": label }, ...rects);
}

function sentence({ kind, status, error, ms }) {
  const end = { ok: "answered", timeout: "cut off", cancelled: "cancelled" }[status] ?? error;
  return `${kind} ${end} after ${milliseconds(ms)}`;
}

function said({ status, ms, age }, bars) {
  if (!bars.length && !age) return `${status}: nothing was sent`;
  const count = (kind) => bars.filter((bar) => bar.kind === kind).length;
  const retries = count("retry");
  return [
    `${milliseconds(ms)} ${status}`,
    retries ? `${retries} ${retries === 1 ? "retry" : "retries"}` : "",
    count("hedge") ? "hedged" : "",
    age ? `${age} s old` : "",
  ].filter(Boolean).join(", ");
}
