// The stage: where the picture is, with its hands; an invitation while there is none, a notice when something waits.

import { drawHands } from "./draw.js";
import { countWords } from "./panel.js";

const INVITATIONS = {
  camera: {
    title: "Your hands, live",
    button: "Start camera",
    busy: "Waiting for the camera …",
    hint: "Frames go to this service and nowhere else, and are not kept.",
  },
  video: {
    title: "Hands in a video",
    button: "Choose a video",
    hint: "Or drop one here. Its frames go to this service and nowhere else, and are not kept.",
  },
  photo: {
    title: "Hands in a photo",
    button: "Choose a photo",
    busy: "Looking for hands …",
    hint: "Or drop or paste one: JPEG, PNG, WebP, BMP. It goes to this service and nowhere else, and is not kept.",
  },
};
const element = (id) => document.getElementById(id);

/**
 * `data-state` on the element says what is there: `empty`; `starting`, a camera is asked for, or the hands of the first photo; `waiting`, the source
 * runs and no answer has come yet; `live`; `away`, the source runs without the service; `photo`.
 *
 * For every answer that is drawn the canvas dispatches a bubbling CustomEvent `hands`, detail
 * `{answer, picture, mirrored}`; the picture is valid until the listeners return.
 */
export class Stage {
  #stage = element("stage");
  #video = element("video");
  #canvas = element("canvas");
  /** Whether the view is a mirror image of the picture. */
  mirrored = false;

  get state() {
    return this.#stage.dataset.state;
  }

  /** Nothing is shown but what can be, or what is waited for. @param {keyof typeof INVITATIONS} mode */
  invite(mode, waiting = false) {
    const { title, button, busy, hint } = INVITATIONS[mode];
    this.#show(waiting ? "starting" : "empty");
    this.#shape(4, 3);
    element("invitation-title").textContent = title;
    element("begin").textContent = waiting ? busy : button;
    element("begin").disabled = waiting;
    element("invitation-hint").textContent = hint;
    this.notice("");
  }

  /** The bare video: its hands are not known yet, or no longer. @param {"waiting" | "away"} state */
  film(state) {
    this.#show(state);
    if (this.#video.videoWidth) this.#shape(this.#video.videoWidth, this.#video.videoHeight);
  }

  /**
   * The picture that was looked at with its hands: in a video the frame they were found in, so that they never trail
   * behind it.
   *
   * @param {"live" | "photo"} state
   */
  draw(state, { answer, picture }, show) {
    const mirrored = this.mirrored && state === "live";
    this.#shape(picture.width, picture.height);
    const { clientWidth, clientHeight } = this.#stage;
    drawHands(this.#canvas, picture, answer, { ...show, mirrored, shown: Math.max(clientWidth, clientHeight) });
    if (this.state !== state) this.#show(state);
    const detail = { answer, picture, mirrored };
    this.#canvas.dispatchEvent(new CustomEvent("hands", { bubbles: true, detail }));
  }

  /** For those who cannot see it. */
  describe(hands) {
    this.#canvas.setAttribute("aria-label", `The picture with the hands drawn on it. ${countWords(hands)}`);
  }

  /** Words over the picture, none to take them away. retry: with a button for those who will not wait */
  notice(words, retry = false) {
    element("notice").hidden = !words;
    element("notice-words").textContent = words;
    element("retry").hidden = !retry;
  }

  /** @returns {Promise<Blob>} what is seen, as PNG */
  png() {
    return new Promise((resolve) => this.#canvas.toBlob(resolve));
  }

  mirror(mirrored) {
    this.mirrored = mirrored;
    this.#video.classList.toggle("mirrored", mirrored);
  }

  #show(state) {
    this.#stage.dataset.state = state;
    const drawn = state === "live" || state === "photo";
    this.#video.hidden = !["waiting", "live", "away"].includes(state);
    this.#canvas.hidden = !drawn;
    element("invitation").hidden = !["empty", "starting"].includes(state);
    element("save").disabled = !drawn;
  }

  #shape(width, height) {
    this.#stage.style.setProperty("--ratio", width / height);
  }
}
