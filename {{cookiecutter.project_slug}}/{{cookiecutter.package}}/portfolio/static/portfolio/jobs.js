// The caller's newest jobs, a card each. A card is changed in place, so that a button keeps its focus.

import { $, element, svg } from "./dom.js";

const cards = new Map();

// Whether a job has not ended.
export const isLively = ({ status }) => ["queued", "running"].includes(status);

// Draws the jobs; `act.cancel(job)` and `act.show(job)` are called by their buttons. `cancel` tells
// whether the job will stop.
export function drawJobs(jobs, act) {
  const ids = new Set(jobs.map(({ id }) => id));
  for (const [id, card] of cards) {
    if (!ids.has(id)) {
      card.root.remove();
      cards.delete(id);
    }
  }
  const changes = [];
  jobs.forEach((job, index) => {
    if (!cards.has(job.id)) cards.set(job.id, makeCard(act));
    const card = cards.get(job.id);
    changes.push(update(card, job));
    // To move a card that stands where it should would take the focus from its buttons.
    if ($("jobs").children[index] !== card.root) $("jobs").insertBefore(card.root, $("jobs").children[index]);
  });
  $("no-jobs").hidden = jobs.length > 0;
  const announced = changes.filter(Boolean).join(" ");
  if (announced) $("announced").textContent = announced;
}

function makeCard(act) {
  const card = {
    title: element("strong"),
    status: element("span", { class: "status" }),
    cancel: element("button", { type: "button", class: "quiet" }, "Cancel"),
    show: element("button", { type: "button", class: "quiet" }, "Show result"),
    progress: element("progress", { max: 1 }),
    parts: svg("svg", { class: "parts", preserveAspectRatio: "none", role: "img" }),
    message: element("p", { class: "note" }),
  };
  card.cancel.addEventListener("click", async () => {
    card.cancel.disabled = true;
    card.cancel.disabled = await act.cancel(card.job);
  });
  card.show.addEventListener("click", () => act.show(card.job));
  const head = element("div", { class: "head" }, card.title, card.status, card.cancel, card.show);
  card.root = element("li", {}, head, card.progress, card.parts, card.message);
  return card;
}

// Changes a card; returns what is read aloud. Only what changes seldom is: progress is not.
function update(card, job) {
  const name = `${job.kind} ${job.id.slice(0, 8)}`;
  const lively = isLively(job);
  const isNews = card.job ? card.job.status !== job.status : lively;
  if (card.job?.status !== job.status) {
    card.root.className = job.status;
    card.cancel.disabled = false;
    card.cancel.setAttribute("aria-label", `Cancel ${name}`);
    card.show.setAttribute("aria-label", `Show result of ${name}`);
    card.progress.setAttribute("aria-label", `Progress of ${name}`);
  }
  card.job = job;
  card.title.textContent = name;
  card.status.textContent = job.status;
  card.progress.value = job.status === "succeeded" ? 1 : job.progress;
  card.cancel.hidden = !lively;
  card.show.hidden = !job.result_url || job.kind !== "portfolio.risk";
  card.message.textContent = job.error ?? job.blocked_by ?? job.message;
  drawParts(card.parts, job.parts ?? []);
  return isNews ? `${name} is ${job.status}.` : "";
}

// A box for each part, filled as far as it is.
function drawParts(drawing, parts) {
  drawing.classList.toggle("none", parts.length < 2);
  drawing.setAttribute("viewBox", `0 0 ${10 * Math.max(parts.length, 1)} 10`);
  const count = (status) => parts.filter((part) => part.status === status).length;
  const states = [...new Set(parts.map(({ status }) => status))];
  const said = states.map((status) => `${count(status)} ${status}`).join(", ");
  drawing.setAttribute("aria-label", `${parts.length} parts: ${said}`);
  drawing.replaceChildren(
    ...parts.flatMap(({ status, progress }, index) => [
      svg("rect", { class: "empty", x: 10 * index + 0.5, width: 9, height: 10 }),
      svg("rect", {
        class: status,
        x: 10 * index + 0.5,
        width: 9 * (status === "running" ? progress : 1),
        height: 10,
      }),
    ]),
  );
}
