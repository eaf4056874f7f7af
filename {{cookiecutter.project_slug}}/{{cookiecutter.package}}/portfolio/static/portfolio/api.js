// Calls the API with the token of the page.

import { $ } from "./dom.js";

// A request that is not answered for so long fails. The slowest view has a second for its sources.
const ANSWER_TIMEOUT_MS = 30_000;

// `retryAfter` are the seconds of the response's `Retry-After`; 0 if it has none.
export class ApiError extends Error {
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// The token of the page. What is none is not sent: a browser that refuses to send it shows it.
export function token() {
  const entered = $("token").value.trim();
  if (!entered) throw new ApiError(401, "Enter an API token above: `make token NAME=you` makes one.");
  if (/^[\w.~+-]+$/.test(entered)) return entered;
  throw new ApiError(401, "The token above has a character that no token has.");
}

// The response; an ApiError with the API's sentence if the status is not 2xx.
export async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${token()}`, "Content-Type": "application/json" };
  const signal = options.signal ?? AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch(path, { ...options, headers, signal });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const detail = problem.detail ?? `The server answered ${response.status}.`;
  throw new ApiError(response.status, detail, retryAfter);
}
