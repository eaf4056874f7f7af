// The live page: asks the sources, starts a job, follows its event stream. No build step, no library.

const $ = (id) => document.getElementById(id);
let job = null;

function holdings() {
  const found = {};
  for (const part of $("holdings").value.split(",")) {
    const [symbol, quantity] = part.trim().split(/\s+/);
    if (symbol) found[symbol.toUpperCase()] = Number(quantity ?? 1);
  }
  return found;
}

async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${$("token").value}`, "Content-Type": "application/json" };
  const response = await fetch(path, { ...options, headers });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ detail: `${response.status} ${response.statusText}` }));
    throw new Error(problem.detail);
  }
  const blocked = response.headers.get("X-Offload-Blocked"); // the guard's, in development
  $("loop").hidden = !blocked;
  if (blocked) $("loop").textContent = `The event loop was blocked: ${blocked}`;
  return response;
}

function guarded(action) {
  return async () => {
    $("error").hidden = true;
    try {
      await action();
    } catch (error) {
      $("error").textContent = error.message;
      $("error").hidden = false;
    }
  };
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

const ask = guarded(async () => {
  const started = performance.now();
  const symbols = Object.keys(holdings()).join(",");
  const { quotes, sources } = await (await call(`/api/portfolio/quotes?symbols=${encodeURIComponent(symbols)}`)).json();
  const elapsed = performance.now() - started;
  const longest = Math.max(...Object.values(sources).map((source) => source.ms), 1);
  const rows = Object.entries(sources).map(([name, source]) => {
    const row = element("li", source.status);
    const track = element("div", "track");
    const bar = element("div", "bar");
    bar.style.width = `${(100 * source.ms) / longest}%`;
    track.append(bar);
    const tries = source.attempts > 1 ? `, ${source.attempts} tries` : "";
    row.append(element("span", "", name), track, element("span", "said", `${Math.round(source.ms)} ms ${source.status}${tries}`));
    return row;
  });
  $("waterfall").replaceChildren(...rows);
  const waited = Object.values(sources).reduce((sum, source) => sum + source.ms, 0);
  $("total").textContent =
    `${Math.round(elapsed)} ms for all of them at once; one after the other it would have been ${Math.round(waited)} ms.`;
  $("quotes").tBodies[0].replaceChildren(
    ...Object.entries(quotes).map(([symbol, price]) => {
      const row = document.createElement("tr");
      row.append(element("td", "", symbol), element("td", "", price.toFixed(2)));
      return row;
    }),
  );
});

const compute = guarded(async () => {
  const body = JSON.stringify({
    holdings: holdings(),
    simulations: Number($("simulations").value),
    seed: Number($("seed").value),
  });
  $("status").textContent = $("message").textContent = "";
  show(await (await call("/api/portfolio/risk", { method: "POST", body })).json());
  document.querySelector("figure").hidden = true;
  await follow(job.id);
});

const cancel = guarded(async () => {
  await call(`/api/jobs/${job.id}`, { method: "DELETE" });
});

// EventSource can't send a token, so the stream is read by hand; a lost one goes on from the newest state.
async function follow(id) {
  while (job.id === id && !job.finished_at) {
    try {
      const reader = (await call(`/api/jobs/${id}/events`)).body.pipeThrough(new TextDecoderStream()).getReader();
      let pending = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (pending + part.value).split("\n\n");
        pending = events.pop();
        for (const event of events) {
          const data = event.split("\n").find((line) => line.startsWith("data: "));
          if (data && job.id === id) show(JSON.parse(data.slice(6)));
        }
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // TypeError: the connection broke, as in a reload
    }
    if (!job.finished_at) await new Promise((resolve) => setTimeout(resolve, 500));
  }
  if (job.id === id && job.result_url) draw(await (await call(job.result_url)).json());
}

function show(newest) {
  job = newest;
  $("status").textContent = job.status;
  $("progress").value = job.progress;
  $("message").textContent = job.error ?? job.message ?? "";
  $("cancel").disabled = Boolean(job.finished_at);
}

function draw({ value, var_95, var_99, histogram, simulations }) {
  const tallest = Math.max(...histogram.counts);
  const width = 400 / histogram.counts.length;
  const step = (histogram.high - histogram.low) / histogram.counts.length;
  $("histogram").replaceChildren(
    ...histogram.counts.map((count, index) => {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const height = (160 * count) / tallest;
      const attributes = { x: index * width + 0.5, y: 160 - height, width: width - 1, height };
      for (const [name, number] of Object.entries(attributes)) bar.setAttribute(name, number);
      if (histogram.low + step * (index + 1) <= -var_95) bar.setAttribute("class", "tail");
      return bar;
    }),
  );
  const money = (amount) => amount.toLocaleString("en", { maximumFractionDigits: 0 });
  $("low").textContent = money(histogram.low);
  $("high").textContent = money(histogram.high);
  $("message").textContent = `${simulations.toLocaleString("en")} portfolios simulated.`;
  $("caption").textContent =
    `Worth ${money(value)} today. In 10 days it loses over ${money(var_95)} in one case of 20, over ${money(var_99)} in one of 100.`;
  document.querySelector("figure").hidden = false;
}

$("ask").addEventListener("click", ask);
$("compute").addEventListener("click", compute);
$("cancel").addEventListener("click", cancel);
$("controls").addEventListener("submit", (event) => event.preventDefault());
setInterval(() => $("again").checked && ask(), 1000);
ask();
