// A moving source, a camera or a video file, and the hands in its frames.

import { CameraError, openCamera } from "./camera.js";
import { everyFrame, Snapshots } from "./frames.js";
import { FrameError } from "./hand-stream.js";
import { Statistics } from "./statistics.js";

const PACE = 0.9; // of the time that the service works on a frame, between two of them

/** Why a source cannot be shown, in words for people. */
export class SourceError extends Error {}

/**
 * Sends a video's frames as fast as they are answered, and no faster. Events, all of them CustomEvents:
 *
 * - `answer`: detail is `{answer, picture}`; the picture is the very frame that was looked at, valid until the
 *   listeners return.
 * - `ended`: detail is the SourceError or CameraError that says why the source is gone.
 */
export class Live extends EventTarget {
  #video;
  #stream;
  #snapshots = new Snapshots();
  #stopFrames = () => {};
  #url = "";
  #source = null; // a new object for each one: what comes late for an old one is thrown away
  #encoding = false;
  #taken = 0; // when the last frame was
  #missed = false; // a frame came when there was no room
  statistics = new Statistics();

  /**
   * @param {HTMLVideoElement} video shows the source
   * @param {import("./hand-stream.js").HandStream} stream
   */
  constructor(video, stream) {
    super();
    this.#video = video;
    this.#stream = stream;
    stream.addEventListener("state", () => stream.room && video.paused && this.look());
    video.addEventListener("seeked", () => video.paused && this.look());
    video.addEventListener("error", () => {
      if (this.#url && video.getAttribute("src")) this.#end(new SourceError(unplayable(video)));
    });
  }

  /** Whether there is a source. */
  get running() {
    return this.#source !== null;
  }

  /**
   * Take a camera as the source.
   *
   * @param {string} [deviceId] of `listCameras`
   * @returns {Promise<MediaStream | null>} null when something else was started or stopped meanwhile
   * @throws {CameraError}
   */
  async startCamera(deviceId) {
    const source = this.#begin();
    let media;
    try {
      media = await openCamera(deviceId);
    } catch (error) {
      if (this.#source !== source) return null; // nobody asks for that one any more
      throw error;
    }
    if (this.#source !== source) {
      stopTracks(media);
      return null;
    }
    media.getVideoTracks()[0].addEventListener("ended", () => {
      if (this.#source === source) this.#end(new CameraError("gone"));
    });
    this.#video.srcObject = media;
    await this.#play(source);
    return this.#source === source ? media : null;
  }

  /** Take a video file as the source; it plays over and over. @param {Blob} file */
  async startFile(file) {
    const source = this.#begin();
    this.#url = URL.createObjectURL(file);
    this.#video.src = this.#url;
    await this.#play(source);
  }

  /** Let the source go: the camera is off afterwards, and the connection closed. */
  stop() {
    this.#source = null;
    this.statistics = new Statistics();
    this.#stopFrames();
    this.#stream.close();
    if (this.#video.srcObject) stopTracks(this.#video.srcObject);
    this.#video.srcObject = null;
    this.#video.removeAttribute("src");
    this.#video.load(); // lets go of the file
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
  }

  /** Look at the frame that is shown now, if there is room for it. */
  async look() {
    const [source, video] = [this.#source, this.#video];
    if (!source || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    if (this.#stream.state === "closed") this.#stream.connect(); // it was idle for long
    const now = performance.now();
    // A frame that comes to a busy service only grows old there.
    const early = !video.paused && now - this.#taken < PACE * this.statistics.busyMs;
    if (!this.#stream.room || this.#encoding || early) {
      this.statistics.drop();
      this.#missed = true;
      return;
    }
    this.#missed = false;
    this.#taken = now;
    const picture = this.#snapshots.take(video);
    try {
      this.#encoding = true;
      const jpeg = await this.#snapshots.encode(picture).finally(() => (this.#encoding = false));
      const answer = this.#source === source ? await this.#stream.send(jpeg) : null;
      if (this.#source !== source) return;
      if (answer) {
        this.statistics.answer(answer, performance.now());
        this.dispatchEvent(new CustomEvent("answer", { detail: { answer, picture } }));
      } else {
        this.statistics.drop();
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.statistics.drop(); // one frame the service could not do anything with; there are others
    } finally {
      this.#snapshots.release(picture);
      if (this.#missed && video.paused) this.look(); // no other frame will follow it
    }
  }

  #begin() {
    this.stop();
    this.#source = {};
    return this.#source;
  }

  async #play(source) {
    this.#stream.connect();
    this.#stopFrames = everyFrame(this.#video, () => {
      this.statistics.frame(performance.now());
      this.look();
    });
    try {
      await this.#video.play();
    } catch (error) {
      // Stopped before it began, or a browser that plays nothing unasked: the first frame is there all the same.
      if (this.#source === source && !["AbortError", "NotAllowedError", "NotSupportedError"].includes(error.name)) {
        throw error;
      }
    }
  }

  #end(error) {
    this.stop();
    this.dispatchEvent(new CustomEvent("ended", { detail: error }));
  }
}

function stopTracks(media) {
  for (const track of media.getTracks()) track.stop();
}

function unplayable(video) {
  return video.error?.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED
    ? "This browser cannot play that video. MP4 (H.264) and WebM do in most."
    : "The video is damaged; it cannot be played to its end.";
}
