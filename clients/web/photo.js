// One photo and the hands in it.

import { findHands, HandError } from "./hand-client.js";
import { currentKey } from "./key.js";

/**
 * Asks the service about a photo, again whenever the options change. Events, all of them CustomEvents: `busy`; then
 * `answer`, detail `{answer, picture}`, or `failed`, detail the error. Only the latest question is answered.
 */
export class Photo extends EventTarget {
  /** @type {Promise<Blob> | null} */ #blob = null;
  #picture = null;
  #request = null;

  /** Whether there is one. */
  get taken() {
    return this.#blob !== null;
  }

  /** @param {Blob} blob an encoded picture; a file is read once, since it may be changed or moved later */
  take(blob, options) {
    this.clear();
    this.#blob = read(blob);
    return this.ask(options);
  }

  /** Forget the photo, and the question about it. */
  clear() {
    this.#request?.abort();
    this.#request = null;
    this.#picture?.close();
    this.#picture = null;
    this.#blob = null;
  }

  async ask(options) {
    if (!this.#blob) return;
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    this.#tell("busy");
    try {
      const blob = await this.#blob;
      const answer = await findHands(blob, options, { signal: request.signal, key: currentKey() });
      const picture = this.#picture ?? (await decode(blob));
      if (this.#request !== request) { // a newer one is on its way
        if (picture !== this.#picture) picture.close();
        return;
      }
      this.#picture = picture;
      this.#tell("answer", { answer, picture });
    } catch (error) {
      if (this.#request === request) this.#tell("failed", error);
    }
  }

  #tell(type, detail = undefined) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

async function read(blob) {
  try {
    return new Blob([await blob.arrayBuffer()], { type: blob.type });
  } catch {
    throw new HandError(415, "The file cannot be read. Is it a folder, or was it moved?");
  }
}

async function decode(blob) {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new HandError(415, "This browser cannot show the picture, though the service could read it.");
  }
}
