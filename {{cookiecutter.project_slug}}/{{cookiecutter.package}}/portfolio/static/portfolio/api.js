// Calls the API with the token of the page.

import { $ } from "./dom.js";

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// The response; an ApiError with the API's sentence if the status is not 2xx.
export async function call(path, options = {}) {
  const token = $("token").value;
  if (!token) throw new ApiError(401, "Enter an API token above: `make token NAME=you` makes one.");
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.detail ?? `The server answered ${response.status}.`);
}
