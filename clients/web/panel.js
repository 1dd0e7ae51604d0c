// The column beside the picture: the list of hands, the figures, the JSON.

import { handNumber } from "./draw.js";

const element = (id) => document.getElementById(id);

/** A list with a button for each hand; pressing one selects it. Buttons stay as long as their hands do. */
export class HandList {
  #list;
  #onSelect;
  #buttons = new Map();

  /** @param {(number: number | undefined) => void} onSelect is told the number of the hand, or that there is none */
  constructor(list, onSelect) {
    this.#list = list;
    this.#onSelect = onSelect;
  }

  /** The number of the hand that is selected. @type {number | undefined} */
  selected = undefined;

  show(hands) {
    const seen = new Set();
    hands.forEach((hand, index) => {
      const number = handNumber(hand, index);
      seen.add(number);
      if (!this.#buttons.has(number)) this.#buttons.set(number, this.#add(number));
      describe(this.#buttons.get(number), hand, number);
    });
    for (const [number, button] of this.#buttons) {
      if (seen.has(number)) continue;
      button.parentElement.remove();
      this.#buttons.delete(number);
      if (this.selected === number) this.select(undefined);
    }
  }

  select(number) {
    this.selected = number;
    for (const [other, button] of this.#buttons) button.setAttribute("aria-pressed", String(other === number));
    this.#onSelect(number);
  }

  #add(number) {
    const button = make("button", "", "hand");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(make("span", "", "swatch"), make("strong"), make("span"), make("span", "", "hint"));
    button.addEventListener("click", () => this.select(this.selected === number ? undefined : number));
    const item = make("li");
    item.append(button);
    this.#list.append(item);
    return button;
  }
}

function describe(button, hand, number) {
  const [swatch, name, scores, place] = button.children;
  const { label, score } = hand.handedness;
  const { x, y, width, height } = hand.box;
  swatch.className = `swatch ${label}`;
  name.textContent = `${number} ${label}`;
  scores.textContent = `score ${hand.score.toFixed(2)} · ${label} ${(100 * score).toFixed(0)} %`;
  place.textContent = `${width.toFixed(0)} × ${height.toFixed(0)} px at ${x.toFixed(0)}, ${y.toFixed(0)}`;
}

/** @param {ReturnType<import("./statistics.js").Statistics["at"]>} figures */
export function showFigures(figures) {
  const ms = (value) => (value === undefined ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
  const known = figures.frames > 0;
  const words = {
    rate: known ? figures.framesPerSecond.toFixed(figures.framesPerSecond < 9.95 ? 1 : 0) : "–",
    source: known ? `source ${figures.sourceFramesPerSecond.toFixed(0)}` : "",
    trip: ms(figures.roundTripMs),
    total: figures.totalMs === undefined ? "" : `service ${ms(figures.totalMs)}`,
    dropped: known ? figures.dropped.toLocaleString("en") : "–",
    frames: known ? `of ${figures.frames.toLocaleString("en")} frames` : "",
    detect: ms(figures.detectMs),
    share: figures.detectorShare === undefined ? "" : `in ${(100 * figures.detectorShare).toFixed(0)} % of frames`,
    pose: ms(figures.poseMs),
    hands: figures.poseMs === undefined ? "" : "all hands",
  };
  for (const [name, text] of Object.entries(words)) element(`figure-${name}`).textContent = text;
}

/** What one photo took. @param {{timing_ms: object, roundTripMs: number} | null} answer */
export function showTiming(answer) {
  if (!answer) return element("timing").replaceChildren();
  const { timing_ms: timing, roundTripMs } = answer;
  const steps = ["decode", "queue", "detect", "pose"].map((step) => `${step} ${timing[step].toFixed(1)}`);
  element("timing").replaceChildren(
    make("strong", `${timing.total.toFixed(1)} ms`),
    ` in the service (${steps.join(" · ")}), ${roundTripMs.toFixed(0)} ms with the way there and back`,
  );
}

export function showJson(answer) {
  const { roundTripMs, ...body } = answer ?? {};
  element("json").textContent = answer ? JSON.stringify(body, null, 2) : "";
  element("json-view").hidden = !answer;
}

/**
 * How a program does what the page does.
 *
 * @param {boolean} streaming
 * @param {boolean} keyed the service wants a key; it is not shown
 */
export function showCode(streaming, keyed) {
  const service = new URL(".", location.href).href;
  element("code").textContent = streaming
    ? `// hand-stream.js is a file of this page:
// ${service}hand-stream.js
// (pages elsewhere: --allowed-origins)
import { HandStream } from "./hand-stream.js";

const stream = new HandStream(
  "${service}v1/stream"${keyed ? ',\n  {}, { key: "hp_…" }' : ""});
stream.connect();
// for every frame of a video:
if (stream.room) {
  const answer = await stream.send(jpeg);
  console.log(answer?.hands);
}`
    : `curl -F image=@hand.jpg \\${keyed ? '\n  -H "Authorization: Bearer hp_…" \\' : ""}
  ${service}v1/pose`;
}

/** "2 hands: right, left" */
export function countWords(hands) {
  if (!hands.length) return "No hand found.";
  const sides = hands.map((hand) => hand.handedness.label).sort().join(", ");
  return `${hands.length} ${hands.length === 1 ? "hand" : "hands"}: ${sides}`;
}

function make(tag, content = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = content;
  made.className = className;
  return made;
}
