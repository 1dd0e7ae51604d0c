// Play, pause and position of a video.

const element = (id) => document.getElementById(id);

/**
 * Connect the controls to a video.
 *
 * @param {HTMLVideoElement} video
 * @returns {{show: () => void}} `show` brings the controls up to date
 */
export function connectTransport(video) {
  const [play, seek, time] = ["play", "seek", "time"].map(element);
  let held = false; // the slider, by somebody

  play.addEventListener("click", () => (video.paused ? video.play() : video.pause()));
  for (const type of ["play", "pause"]) {
    video.addEventListener(type, () => (play.textContent = video.paused ? "Play" : "Pause"));
  }
  seek.addEventListener("input", () => {
    held = true;
    if (Number.isFinite(video.duration)) video.currentTime = (seek.value / seek.max) * video.duration;
    tell();
  });
  seek.addEventListener("change", () => (held = false));

  function tell() {
    time.textContent = `${clock(video.currentTime)} of ${clock(video.duration)}`;
    seek.setAttribute("aria-valuetext", time.textContent);
  }
  return {
    show() {
      if (!held && video.duration) seek.value = (video.currentTime / video.duration) * seek.max;
      tell();
    },
  };
}

function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–:––";
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
