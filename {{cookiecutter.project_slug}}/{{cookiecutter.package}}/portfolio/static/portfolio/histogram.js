// The histogram of a job's result: gains and losses, those beyond the value at risk in another colour.

import { $, svg } from "./dom.js";

const WIDTH = 400;
const HEIGHT = 160;

export function drawHistogram(job, { value, var_95, var_99, histogram, simulations }) {
  const { low, high, counts } = histogram;
  const tallest = Math.max(...counts);
  const width = WIDTH / counts.length;
  const bars = counts.map((count, index) => {
    const height = (HEIGHT * count) / tallest;
    const isTail = low + ((high - low) / counts.length) * (index + 1) <= -var_95;
    const box = { x: index * width + 0.5, y: HEIGHT - height, width: width - 1, height };
    return svg("rect", { ...box, class: isTail ? "tail" : "" });
  });
  $("histogram").replaceChildren(...bars);
  $("low").textContent = money(low);
  $("high").textContent = money(high);
  $("caption").textContent =
    `Job ${job.id.slice(0, 8)}, ${money(simulations)} portfolios: worth ${money(value)} today. It ` +
    `loses over ${money(var_95)} in one case of 20, over ${money(var_99)} in one of 100.`;
  $("result").hidden = false;
}

const money = (amount) => amount.toLocaleString("en", { maximumFractionDigits: 0 });
