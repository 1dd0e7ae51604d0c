// Figures about a running stream; pure arithmetic.

const RECENT_MS = 2000; // what a rate is counted over
const KEPT = 40; // values a median is taken of

/** How often something happens. */
class Rate {
  #times = [];

  count(now) {
    this.#times.push(now);
  }

  perSecond(now) {
    while (this.#times.length && now - this.#times[0] > RECENT_MS) this.#times.shift();
    const [first] = this.#times;
    return this.#times.length < 2 ? 0 : ((this.#times.length - 1) * 1000) / (now - first);
  }
}

/** The middle one of the latest values. */
class Median {
  #values = [];

  add(value) {
    this.#values.push(value);
    if (this.#values.length > KEPT) this.#values.shift();
  }

  /** @returns {number | undefined} */
  get value() {
    return [...this.#values].sort((a, b) => a - b)[this.#values.length >> 1];
  }
}

/** Counts what happens to the frames of one source. Times are those of `performance.now()`. */
export class Statistics {
  #shown = new Rate();
  #answered = new Rate();
  #medians = {
    roundTrip: new Median(),
    detect: new Median(),
    pose: new Median(),
    total: new Median(),
    busy: new Median(),
  };
  #detector = []; // 1 or 0: whether it ran
  /** How many the source showed. */ frames = 0;
  /** How many of them were not looked at. */ dropped = 0;

  /** The source showed a frame. */
  frame(now) {
    this.frames += 1;
    this.#shown.count(now);
  }

  /** A frame was not sent, or not looked at. */
  drop() {
    this.dropped += 1;
  }

  /** @param {import("./hand-stream.js").Answer} answer */
  answer(answer, now) {
    this.#answered.count(now);
    const { roundTrip, detect, pose, total } = this.#medians;
    roundTrip.add(answer.roundTripMs);
    total.add(answer.timing_ms.total);
    this.#medians.busy.add(answer.timing_ms.total - answer.timing_ms.queue);
    if (answer.detector_ran) detect.add(answer.timing_ms.detect);
    if (answer.timing_ms.pose > 0) pose.add(answer.timing_ms.pose);
    this.#detector.push(answer.detector_ran ? 1 : 0);
    if (this.#detector.length > 3 * KEPT) this.#detector.shift();
  }

  /** How long the service works on a frame, without the time that the frame waits there; 0 while that is unknown. */
  get busyMs() {
    return this.#medians.busy.value ?? 0;
  }

  /** All figures at once; those that are not known yet are undefined. */
  at(now) {
    const { roundTrip, detect, pose, total } = this.#medians;
    const ran = this.#detector.reduce((sum, one) => sum + one, 0);
    return {
      framesPerSecond: this.#answered.perSecond(now),
      sourceFramesPerSecond: this.#shown.perSecond(now),
      roundTripMs: roundTrip.value,
      detectMs: detect.value,
      poseMs: pose.value,
      totalMs: total.value,
      detectorShare: this.#detector.length ? ran / this.#detector.length : undefined,
      frames: this.frames,
      dropped: this.dropped,
    };
  }
}
