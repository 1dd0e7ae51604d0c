// Talks to the service; knows nothing of the page.

/** What the service or the way to it said is wrong, in words for people. `status` is 0 when it could not be reached. */
export class HandError extends Error {
  constructor(status, message) {
    super(message);
    this.name = "HandError";
    this.status = status;
  }
}

const ADVICE = {
  401: "This service needs a key.",
  413: "The photo is too large.",
  415: "This service does not support that type of file.",
  422: "The photo could not be read.",
  429: "Too many requests.",
  503: "The service is busy.",
};
const NO_SERVICE = "The response is not from a handpose service.";

/**
 * Send one photo and get the hands in it: the answer of POST /v1/pose as an object, with the round trip in
 * `roundTripMs`.
 *
 * @param {Blob} photo an encoded image
 * @param {{max_hands?: number, min_score?: number, mirrored?: boolean}} options
 * @param {{signal?: AbortSignal, key?: string}} [how] `signal` gives the request up; `key`, where the service wants one
 * @throws {HandError} when the service refuses, cannot be reached or answers something else
 */
export async function findHands(photo, options = {}, { signal, key } = {}) {
  const query = new URLSearchParams(Object.entries(options).map(([name, value]) => [name, String(value)]));
  const form = new FormData();
  form.append("image", photo, "photo");
  const started = performance.now();
  let response, answer;
  try {
    response = await fetch(`v1/pose?${query}`, {
      method: "POST",
      body: form,
      headers: { Accept: "application/json", ...(key && { Authorization: `Bearer ${key}` }) },
      signal,
    });
    if (!response.ok) throw await asError(response);
    answer = await response.json();
  } catch (error) {
    if (error instanceof HandError || error.name === "AbortError") throw error;
    if (error instanceof SyntaxError) throw new HandError(response.status, NO_SERVICE);
    throw new HandError(0, "The service cannot be reached. Is it still running?");
  }
  if (!Array.isArray(answer?.hands)) throw new HandError(response.status, NO_SERVICE);
  return { ...answer, roundTripMs: performance.now() - started };
}

async function asError(response) {
  const kind = response.headers.get("content-type") ?? "";
  const problem = (kind.includes("json") && (await response.json().catch(() => null))) || {};
  const advice = ADVICE[response.status] ?? `The service answered ${response.status}.`;
  if (!problem.detail) return new HandError(response.status, advice);
  // Errors with names are about options; the advice is about the photo.
  return new HandError(response.status, problem.errors ? problem.detail : `${advice} ${problem.detail}`);
}
