// What the service knows of itself: queues, workers, circuit breakers, broker and database.

import { $, element } from "./dom.js";

export function drawService({ waiting, workers, breakers, broker }) {
  if (workers) $("queues").tBodies[0].replaceChildren(...queueRows(waiting, workers));
  $("breakers").replaceChildren(
    ...Object.entries(breakers).map(([name, state]) =>
      element("li", { class: state }, `${name} `, element("b", {}, state)),
    ),
  );
  const away = [broker ? "" : "broker", workers ? "" : "database"].filter(Boolean);
  $("away").textContent = away.length ? `Does not answer: ${away.join(", ")}.` : "Broker and database answer.";
  $("away").className = away.length ? "note bad" : "note";
}

function queueRows(waiting, workers) {
  const names = new Set([...Object.keys(waiting), ...workers.flatMap(({ queues }) => queues)]);
  return [...names].sort().map((name) => {
    const serving = workers.filter(({ queues }) => queues.includes(name));
    const total = (field) => serving.reduce((sum, worker) => sum + worker[field], 0);
    const busy = serving.length ? `${total("busy")} of ${total("slots")}` : "no worker";
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", {}, String(waiting[name] ?? 0)),
      element("td", {}, busy),
    );
  });
}
