// Follows an event stream that never ends, by fetch: an EventSource cannot send a token.

import { call } from "./api.js";
import { deadline, stayConnected } from "./reconnect.js";

// The server sends an event each second. A connection that is silent for so long is lost.
const MAX_SILENCE_MS = 8000;

// Gives the data of each event to `onEvent`. The rest is as in `stayConnected`.
export function follow(path, onEvent, onLost) {
  return stayConnected(async (abort) => {
    const silence = deadline(MAX_SILENCE_MS, () => abort.abort());
    try {
      const { body } = await call(path, { signal: abort.signal });
      for await (const data of events(body)) {
        silence.extend();
        onEvent(data);
      }
    } finally {
      silence.end();
      abort.abort();
    }
  }, onLost);
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (pending + part.value).split("\n\n");
    pending = whole.pop();
    for (const event of whole) {
      const line = event.split("\n").find((each) => each.startsWith("data: "));
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}
