// Draws hands on a canvas; knows nothing of the service or the page.

/** Keypoint indices, wrist first: thumb, index, middle, ring, pinky. */
export const FINGERS = [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8], [0, 9, 10, 11, 12], [0, 13, 14, 15, 16], [0, 17, 18, 19, 20]];

/** One colour a finger, told apart with red-green colour blindness too (after Okabe and Ito). */
export const FINGER_COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55ea0"];
export const HAND_COLOURS = { left: "#56b4e9", right: "#ff913c" };
const SHARP = 1200; // pixels on the longer side
const LARGEST = 4096 * 4096; // pixels of a canvas that every browser draws on: a larger one stays empty on an iPhone
const SURE = 0.5; // bones to keypoints scored below this are drawn faint
const SURE_SIDE = 0.75; // sides told below this have a question mark

/**
 * Draw a picture and its hands.
 *
 * @param {HTMLCanvasElement} canvas is given the picture's proportions, and its size unless that is too small or too large
 * @param {CanvasImageSource & {width: number, height: number}} picture upright
 * @param {{image: {width: number, height: number}, hands: object[]}} answer its coordinates are those of `answer.image`
 * @param {object} show
 * @param {boolean} [show.skeleton]
 * @param {boolean} [show.boxes]
 * @param {boolean} [show.names]
 * @param {boolean} [show.mirrored] as in a mirror, letters excepted
 * @param {number} [show.selected] the number of the hand that the others step back for
 * @param {number} [show.shown] how large the page shows the canvas, CSS pixels on the longer side: letters can be read
 *   on a phone too
 */
export function drawHands(canvas, picture, answer, show) {
  const shown = Math.max(240, show.shown || 800);
  // A small picture is enlarged, so that lines and letters stay sharp.
  const sharp = Math.max(1, Math.min(SHARP, shown * devicePixelRatio) / Math.max(picture.width, picture.height));
  const zoom = Math.min(sharp, Math.sqrt(LARGEST / (picture.width * picture.height)));
  resize(canvas, Math.floor(picture.width * zoom), Math.floor(picture.height * zoom));
  const context = canvas.getContext("2d", { alpha: false });
  context.setTransform(show.mirrored ? -1 : 1, 0, 0, 1, show.mirrored ? canvas.width : 0, 0);
  context.fillStyle = "#fff"; // behind a transparent picture, as the service sees it
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  // The browser may have decoded the picture at another size than the service reports.
  const { width, height } = answer.image;
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  const unit = Math.max(width, height) / Math.min(shown, 800);
  context.lineCap = context.lineJoin = "round";
  answer.hands.forEach((found, index) => {
    const hand = show.mirrored ? mirror(found, width) : found;
    const number = handNumber(found, index);
    const dimmed = show.selected !== undefined && show.selected !== number;
    context.globalAlpha = dimmed ? 0.25 : 1;
    const thick = Math.max(unit, Math.min(Math.max(hand.box.width, hand.box.height) / 60, 8 * unit));
    if (show.boxes) drawBox(context, hand, number, unit, answer.image);
    if (show.skeleton) drawSkeleton(context, hand, thick, dimmed);
    if (show.names) drawNames(context, hand, unit, width);
  });
  context.globalAlpha = 1;
}

/** What a hand is called by: its track in a stream, its place in a photo. */
export function handNumber(hand, index) {
  return hand.track_id ?? index + 1;
}

/** Where a hand is in the mirror image. It remains the hand it is: a left one is a left one in a mirror too. */
function mirror(hand, width) {
  return {
    ...hand,
    box: { ...hand.box, x: width - hand.box.x - hand.box.width },
    keypoints: hand.keypoints.map((point) => ({ ...point, x: width - point.x })),
  };
}

function resize(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width; // setting it clears the canvas, which costs time
  if (canvas.height !== height) canvas.height = height;
}

function drawSkeleton(context, hand, width, dimmed) {
  const alpha = dimmed ? 0.25 : 1;
  FINGERS.forEach((finger, f) => {
    for (let i = 1; i < finger.length; i += 1) {
      const [a, b] = [hand.keypoints[finger[i - 1]], hand.keypoints[finger[i]]];
      context.globalAlpha = Math.min(a.score, b.score) < SURE ? 0.45 * alpha : alpha;
      line(context, a, b, width + 2 * Math.max(1, width / 3), "rgba(0, 0, 0, 0.45)");
      line(context, a, b, width, FINGER_COLOURS[f]);
    }
  });
  context.globalAlpha = alpha;
  hand.keypoints.forEach((point, i) => {
    context.beginPath();
    context.arc(point.x, point.y, 1.2 * width, 0, 2 * Math.PI);
    context.fillStyle = i === 0 ? "#fff" : FINGER_COLOURS[Math.floor((i - 1) / 4)];
    context.strokeStyle = "#141414";
    context.lineWidth = Math.max(1, width / 3);
    context.fill();
    context.stroke();
  });
}

function line(context, a, b, width, colour) {
  context.beginPath();
  context.moveTo(a.x, a.y);
  context.lineTo(b.x, b.y);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function drawBox(context, hand, number, unit, image) {
  const { x, y, width, height } = hand.box;
  const { label, score } = hand.handedness;
  context.lineWidth = 2 * unit;
  context.strokeStyle = HAND_COLOURS[label];
  context.strokeRect(x, y, width, height);
  const size = 15 * unit;
  const text = `${number} ${label}${score < SURE_SIDE ? "?" : ""} ${hand.score.toFixed(2)}`;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const [wide, high] = [context.measureText(text).width + size, 1.5 * size];
  const left = within(x - unit, wide, image.width);
  const top = within(y - high, high, image.height);
  context.fillStyle = HAND_COLOURS[label];
  context.fillRect(left, top, wide, high);
  context.fillStyle = "#000";
  context.textBaseline = "middle";
  context.fillText(text, left + size / 2, top + 0.52 * high);
}

/** The nearest place to `start` from which `length` ends before `end`, and that is not below 0. */
function within(start, length, end) {
  return Math.max(0, Math.min(start, end - length));
}

function drawNames(context, hand, unit, imageWidth) {
  const size = 10 * unit;
  context.font = `${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.lineWidth = 3 * unit;
  context.strokeStyle = "rgba(0, 0, 0, 0.7)";
  context.fillStyle = "#fff";
  for (const point of hand.keypoints) {
    const left = within(point.x + size * 0.8, context.measureText(point.name).width + unit, imageWidth);
    context.strokeText(point.name, left, point.y);
    context.fillText(point.name, left, point.y);
  }
}
