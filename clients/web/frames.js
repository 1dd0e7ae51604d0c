// Frames of a video: when there is a new one, a copy of it, and its JPEG.

const SENT_SIDE = 640; // pixels on the longer side of what is sent; the models look at less
const SHOWN_SIDE = 1280; // and of what is shown
const QUALITY = 0.8;

/**
 * Call back for every frame that a video shows.
 *
 * @param {HTMLVideoElement} video
 * @param {() => void} callback
 * @returns {() => void} stops it
 */
export function everyFrame(video, callback) {
  let handle;
  if (video.requestVideoFrameCallback) {
    const next = () => {
      handle = video.requestVideoFrameCallback(next);
      callback();
    };
    handle = video.requestVideoFrameCallback(next);
    return () => video.cancelVideoFrameCallback(handle);
  }
  let shown = -1;
  const look = () => {
    handle = requestAnimationFrame(look);
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || video.currentTime === shown) return;
    shown = video.currentTime;
    callback();
  };
  look();
  return () => cancelAnimationFrame(handle);
}

/** Copies of frames, on canvases that are used again, since a stream of new ones would keep the memory busy. */
export class Snapshots {
  #free = [];
  #scratch = makeCanvas();
  #pen = this.#scratch.getContext("2d", { alpha: false, willReadFrequently: true });

  /**
   * @param {HTMLVideoElement} video
   * @returns {HTMLCanvasElement | OffscreenCanvas} to be given back with `release`
   */
  take(video) {
    const canvas = this.#free.pop() ?? makeCanvas();
    fit(canvas, video.videoWidth, video.videoHeight, SHOWN_SIDE);
    canvas.getContext("2d", { alpha: false }).drawImage(video, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  release(canvas) {
    this.#free.push(canvas);
  }

  /** Encode a copy, smaller where it is large; one at a time. @returns {Promise<Blob>} */
  async encode(canvas) {
    let small = canvas;
    if (Math.max(canvas.width, canvas.height) > SENT_SIDE) {
      small = this.#scratch;
      fit(small, canvas.width, canvas.height, SENT_SIDE);
      this.#pen.drawImage(canvas, 0, 0, small.width, small.height);
    }
    if (small.convertToBlob) return small.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    return new Promise((resolve, reject) => {
      const done = (blob) => (blob ? resolve(blob) : reject(new Error("This browser cannot encode the picture.")));
      small.toBlob(done, "image/jpeg", QUALITY);
    });
  }
}

function makeCanvas() {
  return globalThis.OffscreenCanvas ? new OffscreenCanvas(1, 1) : document.createElement("canvas");
}

/** Give a canvas the proportions of a picture and at most so many pixels on the longer side. */
function fit(canvas, width, height, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  const [fitWidth, fitHeight] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  if (canvas.width !== fitWidth) canvas.width = fitWidth; // setting it clears the canvas
  if (canvas.height !== fitHeight) canvas.height = fitHeight;
}
