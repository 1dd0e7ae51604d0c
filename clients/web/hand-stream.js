// Sends frames to WS /v1/stream and hears which hands are in them. It knows nothing of pages, cameras and canvases,
// and needs nothing but this file:
//
//   import { HandStream } from "./hand-stream.js";
//
//   const stream = new HandStream("ws://localhost:8000/v1/stream", { max_hands: 2 });
//   stream.addEventListener("state", ({ detail }) => console.log(detail.state, detail.reason));
//   stream.connect();
//
//   // for every frame of a video:
//   if (stream.room) {
//     const answer = await stream.send(jpeg); // a Blob; null when the frame was passed over
//     if (answer) draw(answer.hands);
//   }
//
// A page that the service does not serve itself needs its origin among the service's `--allowed-origins`; otherwise
// browsers only say that the connection failed.
//
// Frames are never queued: at most two are under way, one being worked on and one to follow it, and `room` says when
// the next may be sent. When the connection is lost it comes back by itself, waiting longer after every failure and
// never as long as others do, so that a service that starts again is not run over by all of its clients at once.
//
// Options may change at any time, `stream.configure({ max_hands: 1 })`. One that the service refuses is told in a
// `problem` and forgotten: the stream goes on with what was in force, and all others can be changed as before.

/**
 * @typedef {object} StreamOptions What the service is asked for; see its /docs.
 * @property {number} [max_hands] 1 to 16
 * @property {number} [min_score] 0 to 1
 * @property {boolean} [mirrored] the frames are mirror images: left and right are swapped in the answers
 * @property {boolean} [smoothing] take the tremble out of keypoints and boxes
 * @property {number | null} [frame_rate] of a recording, in frames per second: time is counted by frames then, not by
 *   the clock; null for the clock again
 *
 * @typedef {{name: string, x: number, y: number, z?: number, score: number}} Keypoint in pixels of the frame, from its top
 *   left; z is the depth relative to the wrist, positive away from the camera; score is the probability that it is within
 *   a tenth of the hand's size of where it truly is
 *
 * @typedef {object} TrackedHand
 * @property {number} track_id the same for as long as the hand is followed; new ones after every reconnection
 * @property {number} score
 * @property {{label: "left" | "right", score: number}} handedness
 * @property {{x: number, y: number, width: number, height: number}} box
 * @property {Keypoint[]} keypoints 21 of them, wrist first
 *
 * @typedef {object} Answer
 * @property {number} frame which of the connection's frames this is, counted from 0
 * @property {number} dropped how many of the connection's frames the service passed over so far
 * @property {boolean} detector_ran false when the hands were followed from the frame before
 * @property {{width: number, height: number}} image the frame's size, upright
 * @property {TrackedHand[]} hands best score first
 * @property {{decode: number, queue: number, detect: number, pose: number, total: number}} timing_ms
 * @property {number} roundTripMs from `send` to the answer
 *
 * @typedef {"closed" | "connecting" | "open" | "waiting" | "refused"} State `waiting`: for the next attempt; `closed`:
 * by either side, in peace; `refused`: the service will not have this stream, and asking again would not help
 *
 * @typedef {object} Flight A frame under way; `sent` is a time of `performance.now()`
 * @property {number} frame
 * @property {number} sent
 * @property {(answer: Answer | null) => void} resolve
 * @property {(error: FrameError) => void} reject
 *
 * @typedef {object} Change An option that the service has not confirmed
 * @property {keyof StreamOptions} name
 * @property {any} value
 *
 * @typedef {object} Settings
 * @property {number} [minDelayMs] before the first attempt to come back
 * @property {number} [maxDelayMs] between attempts, however many have failed
 * @property {number} [patienceMs] without an answer that is due, until the connection counts as lost
 * @property {string} [key] for a service that wants one
 */

// A page can set no headers on a WebSocket, and a key in the address would be written into logs: it goes as a second
// subprotocol, and the service answers with the first.
const SUBPROTOCOL = "handpose", KEY_SUBPROTOCOL = "handpose.key.";
const IN_FLIGHT = 2;
const SETTINGS = { minDelayMs: 400, maxDelayMs: 10_000, patienceMs: 10_000, key: "" };
// RFC 6455, section 7.4.1.
const NORMAL = 1000, POLICY = 1008, TOO_BIG = 1009;
const UNPROCESSABLE = 422; // what an option is refused with; other refusals are about the whole stream

/** What the service says is wrong with one frame. */
export class FrameError extends Error {
  /**
   * @param {number} status what HTTP would have said
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.name = "FrameError";
    this.status = status;
  }
}

/**
 * One stream of frames. Events, all of them CustomEvents:
 *
 * - `state`: detail is `{state, reason, retryInMs}`. `reason` is what the service or the connection gave for it, in
 *   words, or empty; `retryInMs` is set while `waiting`.
 * - `problem`: detail is `{status, title, detail}`; something other than a frame was wrong, such as an option. One that
 *   was changed with `configure` is forgotten; one that was asked for when the stream was begun makes it `refused`.
 */
export class HandStream extends EventTarget {
  #url;
  /** @type {Record<string, any>} */ #options; // asked for in the address of the next connection
  #settings;
  /** @type {Map<string, Change>} */ #changes = new Map(); // the newest of each option
  /** @type {Change[]} */ #told = []; // on this connection, which answers each in turn
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {State} */ #state = "closed";
  /** @type {Flight[]} */ #flights = [];
  #frames = 0; // sent on this connection
  #tracks = 0; // the largest number that a hand has had
  #tracksBefore = 0; // this connection, on which the service counts hands from 1 again
  #failures = 0; // attempts since the service last answered
  #answered = false; // on this connection
  #complaint = ""; // the last problem told on this connection, until something is answered after it
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer; // until the next attempt, or until patience ends

  /**
   * @param {string | URL} url of the service's /v1/stream; http and https will do as well as ws and wss
   * @param {StreamOptions} [options]
   * @param {Settings} [settings]
   */
  constructor(url, options = {}, settings = {}) {
    super();
    this.#url = new URL(url);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#options = { ...options };
    this.#settings = { ...SETTINGS, ...settings };
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** Whether a frame sent now would be taken. */
  get room() {
    return this.#state === "open" && this.#flights.length < IN_FLIGHT;
  }

  /**
   * The key for the next connection, "" for none. A service that wants another one says so in a `problem` with the
   * status 401, and the stream is `refused`.
   *
   * @param {string} key
   */
  set key(key) {
    this.#settings.key = key;
  }

  /** Open the connection, or try at once when it waits for its next attempt. It then stays until `close`. */
  connect() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    if (this.#state !== "waiting") {
      // A stream that begins asks for everything. One that comes back must not be refused for a change.
      for (const { name, value } of this.#changes.values()) this.#options[name] = value;
      this.#changes.clear();
    }
    const url = new URL(this.#url);
    for (const [name, value] of Object.entries(this.#options)) {
      if (value != null) url.searchParams.set(name, String(value)); // otherwise as if it had not been named
    }
    const { key } = this.#settings;
    const socket = (this.#socket = new WebSocket(url, key ? [SUBPROTOCOL, KEY_SUBPROTOCOL + key] : []));
    this.#frames = 0;
    this.#tracksBefore = this.#tracks;
    this.#answered = false;
    this.#complaint = "";
    this.#told = [];
    const current = () => this.#socket === socket; // one that was given up has no say any more
    socket.onopen = () => {
      if (!current()) return;
      clearTimeout(this.#timer);
      for (const change of this.#changes.values()) this.#tell(change);
      this.#become("open");
    };
    socket.onmessage = ({ data }) => current() && this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => current() && this.#lose(code, reason);
    this.#hurry();
    this.#become("connecting");
  }

  /**
   * Send one encoded image (JPEG, PNG, WebP or BMP).
   *
   * @param {Blob | ArrayBuffer | ArrayBufferView} image
   * @returns {Promise<Answer | null>} null when there was no room, the service took a newer frame instead, or the
   * connection was lost meanwhile
   * @throws {FrameError} (the promise) when the service cannot read this frame; the stream goes on
   */
  send(image) {
    // A socket that is closing has not said so yet: what is sent then is lost.
    if (this.#socket?.readyState !== WebSocket.OPEN || !this.room) return Promise.resolve(null);
    this.#socket.send(image);
    const frame = this.#frames++;
    if (!this.#flights.length) this.#hurry();
    return new Promise((resolve, reject) => {
      this.#flights.push({ frame, sent: performance.now(), resolve, reject });
    });
  }

  /**
   * Change options, from the next frame on and after every reconnection. Each is told for itself: where the service
   * refuses one, a `problem` says so, that one stays as it was, and the others change.
   *
   * A stream that has not begun, or was closed or refused, asks for all of them when it connects; it is `refused` then
   * where one of them is.
   *
   * @param {StreamOptions} options those that are not named stay as they are
   */
  configure(options) {
    for (const [name, value] of Object.entries(options)) {
      if (!this.#changes.has(name) && this.#options[name] === value) continue; // it is in force
      const change = { name: /** @type {keyof StreamOptions} */ (name), value };
      this.#changes.set(name, change);
      if (this.#socket?.readyState === WebSocket.OPEN && this.#state === "open") this.#tell(change);
    }
  }

  /** Close the connection and leave it closed. Frames under way are answered with null. */
  close() {
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#drop();
    if (this.#state !== "closed") this.#become("closed");
  }

  /** @param {Change} change */
  #tell(change) {
    this.#told.push(change);
    this.#socket?.send(JSON.stringify({ type: "configure", [change.name]: change.value }));
  }

  /** The service took or refused the oldest change it was told. @param {boolean} taken */
  #settleChange(taken) {
    const change = this.#told.shift();
    if (!change) return;
    if (taken) this.#options[change.name] = change.value;
    if (this.#changes.get(change.name) === change) this.#changes.delete(change.name); // otherwise there is a newer one
  }

  // ---- what comes back

  /** @param {any} message as `service/api/stream_messages.py` has them */
  #hear(message) {
    if (message.type === "result" || message.type === "configured") {
      this.#answered = true;
      this.#failures = 0;
      this.#complaint = "";
    }
    if (message.type === "configured") this.#settleChange(true);
    if (message.type === "result") {
      for (const hand of message.hands) {
        hand.track_id += this.#tracksBefore;
        this.#tracks = Math.max(this.#tracks, hand.track_id);
      }
      this.#settle(message.frame, ({ resolve, sent }) =>
        resolve({ ...message, roundTripMs: performance.now() - sent }),
      );
    } else if (message.type === "error" && message.frame !== null) {
      this.#settle(message.frame, ({ reject }) => reject(new FrameError(message.status, message.detail)));
    } else if (message.type === "error") {
      const { status, title, detail } = message;
      this.#complaint = detail;
      if (status === UNPROCESSABLE) this.#settleChange(false);
      this.dispatchEvent(new CustomEvent("problem", { detail: { status, title, detail } }));
    }
  }

  /**
   * Answers come in order: frames before this one have been passed over.
   *
   * @param {number} frame
   * @param {(flight: Flight) => void} answer
   */
  #settle(frame, answer) {
    for (let flight; (flight = this.#flights[0]) && flight.frame <= frame; this.#flights.shift()) {
      if (flight.frame === frame) answer(flight);
      else flight.resolve(null);
    }
    clearTimeout(this.#timer);
    if (this.#flights.length) this.#hurry();
  }

  // ---- when the connection goes

  /** Count the connection as lost unless something is heard in time: a network that went away says nothing. */
  #hurry() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lose(0, "The service does not answer."), this.#settings.patienceMs);
  }

  /**
   * @param {number} code of the WebSocket's end, 0 for none
   * @param {string} reason
   */
  #lose(code, reason) {
    clearTimeout(this.#timer);
    reason ||= this.#complaint;
    const refused = code === TOO_BIG || (code === POLICY && this.#complaint && !this.#answered);
    this.#drop();
    if (refused) return this.#become("refused", reason);
    if (code === NORMAL) return this.#become("closed", reason);
    const { minDelayMs, maxDelayMs } = this.#settings;
    const longest = Math.min(maxDelayMs, minDelayMs * 2 ** this.#failures);
    const retryInMs = longest * (0.5 + 0.5 * Math.random());
    this.#failures += 1;
    this.#timer = setTimeout(() => this.connect(), retryInMs);
    this.#become("waiting", reason, retryInMs);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(NORMAL);
    for (const { resolve } of this.#flights.splice(0)) resolve(null);
  }

  /**
   * @param {State} state
   * @param {string} [reason]
   * @param {number} [retryInMs]
   */
  #become(state, reason = "", retryInMs) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, reason, retryInMs } }));
  }
}
