// The page: puts the sources, the stage and the column beside it together.

import { facesPeople, listCameras } from "./camera.js";
import { HAND_COLOURS } from "./draw.js";
import { HandError } from "./hand-client.js";
import { HandStream } from "./hand-stream.js";
import { connectIntake } from "./intake.js";
import { askForKey, currentKey, forgetKey, keyIsKept } from "./key.js";
import { Live, SourceError } from "./live.js";
import { countWords, HandList, showCode, showFigures, showJson, showTiming } from "./panel.js";
import { Photo } from "./photo.js";
import { Stage } from "./stage.js";
import { connectTransport } from "./transport.js";
import { copyText, fail, noFailure, saveAs, say } from "./words.js";

const TICK_MS = 400; // how often words and figures change; the picture does so with every frame

const element = (id) => document.getElementById(id);
const [page, options, video, cameras] = ["page", "options", "video", "cameras"].map(element);
let mode = "camera";
let shown = null; // {answer, picture} of a photo; {answer} of a video
let resume = false; // the camera, when the page is seen again
let handsChosen = false; // how many to ask for was said by the visitor
let mirroredFor = ""; // the camera for which mirroring was decided

const stage = new Stage();
const stream = new HandStream(new URL("v1/stream", location.href), {}, { key: currentKey() });
const live = new Live(video, stream);
const photo = new Photo();
const list = new HandList(element("hands"), redraw);
const transport = connectTransport(video);

// ---- what the pictures come from

for (const radio of document.querySelectorAll("[name=mode]")) {
  radio.addEventListener("change", () => enter(radio.value));
}
addEventListener("hashchange", () => enterNamed());

function enterNamed() {
  const named = document.querySelector(`[name=mode][value="${CSS.escape(location.hash.slice(1))}"]`);
  enter(named?.value ?? "camera");
}

function enter(next) {
  live.stop();
  photo.clear();
  resume = false;
  shown = null;
  mode = next;
  document.querySelector(`[name=mode][value=${mode}]`).checked = true;
  history.replaceState(null, "", mode === "camera" ? location.pathname + location.search : `#${mode}`);
  showKey();
  noFailure();
  say("");
  rest();
}

/** Nothing runs. */
function rest() {
  const hadFocus = element("stop") === document.activeElement;
  page.removeAttribute("aria-busy");
  stage.invite(mode);
  list.show([]);
  showTiming(null);
  showJson(null);
  showFigures(live.statistics.at(performance.now()));
  offer();
  if (hadFocus) element("begin").focus();
}

/** Show the controls that do something now. */
function offer() {
  const running = live.running;
  element("stop").hidden = !running;
  element("figures").hidden = !running;
  element("camera-choice").hidden = !(running && mode === "camera");
  element("mirror-choice").hidden = mode === "photo" || !running;
  element("seek-row").hidden = !(running && mode === "video");
  element("choose").hidden = !(mode === "video" ? running : photo.taken && stage.state !== "empty");
  element("choose").textContent = mode === "video" ? "Another video" : "Another photo";
  options.smoothing.closest("label").hidden = mode === "photo";
  options.mirrored.closest("label").hidden = mode === "camera";
}

element("begin").addEventListener("click", () => (mode === "camera" ? startCamera() : intake.choose(mode)));
element("choose").addEventListener("click", () => intake.choose(mode));
element("stop").addEventListener("click", halt);

/** Stop what moves. */
function halt() {
  live.stop();
  say("");
  rest();
}

async function startCamera(deviceId = cameras.value) {
  noFailure();
  stage.invite("camera", true);
  stream.configure(chosen());
  try {
    const media = await live.startCamera(deviceId);
    if (!media) return;
    const id = media.getVideoTracks()[0].getSettings().deviceId;
    if (id !== mirroredFor) mirror(facesPeople(media)); // otherwise it stays as somebody may have set it
    mirroredFor = id;
    startFilm();
    await listOthers(media);
  } catch (error) {
    if (mode === "camera") ended(error);
  }
}

async function startVideo(blob) {
  if (mode !== "video") enter("video");
  noFailure();
  mirror(false);
  mirroredFor = "";
  stream.configure(chosen());
  const started = live.startFile(blob);
  startFilm();
  await started;
}

function startFilm() {
  shown = null;
  stage.film("waiting");
  offer();
  goOnFrom(mode === "video" ? "play" : "stop");
}

/** The button that was pressed is gone; who works with the keyboard goes on from what took its place. */
function goOnFrom(name) {
  const lost = [document.body, element("begin")].includes(document.activeElement);
  if (lost) element(name).focus({ preventScroll: true });
}

async function listOthers(media) {
  const [track] = media.getVideoTracks();
  const found = await listCameras();
  cameras.replaceChildren(...found.map(({ id, name }) => new Option(name, id)));
  cameras.value = track.getSettings().deviceId ?? "";
}
cameras.addEventListener("change", () => startCamera());
navigator.mediaDevices?.addEventListener?.("devicechange", () => video.srcObject && listOthers(video.srcObject));

live.addEventListener("ended", ({ detail }) => ended(detail));
function ended(error) {
  halt();
  goOnFrom("begin");
  fail(error, mode === "camera" ? () => startCamera() : undefined);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden && mode === "camera" && (live.running || stage.state === "starting")) {
    live.stop(); // nobody looks: the camera's light goes out
    stage.invite("camera");
    offer();
    resume = true;
  } else if (!document.hidden && resume) {
    resume = false;
    startCamera();
  }
});
addEventListener("pagehide", () => live.stop());
addEventListener("pageshow", ({ persisted }) => {
  showScore(); // a browser may have kept what was chosen
  if (!persisted || mode === "photo") return;
  resume = false;
  halt(); // the page comes back as it was left, but what moved is gone
});

// ---- files, dropped and pasted ones too

const intake = connectIntake({ area: page, take, refuse: (words) => fail(new SourceError(words)) });

function take(blob) {
  if (blob.type.startsWith("video/")) return startVideo(blob);
  if (mode !== "photo") enter("photo");
  shown = null;
  return photo.take(blob, chosen());
}

// ---- options

let later = 0;
options.addEventListener("input", () => {
  showScore();
  clearTimeout(later); // a slider moves in many small steps
  later = setTimeout(() => {
    if (!options.reportValidity()) return;
    if (live.running) noFailure(); // it may be mended now
    if (mode === "photo") photo.ask(chosen());
    else stream.configure(chosen());
    if (video.paused) live.look();
  }, 200);
});
options.addEventListener("submit", (event) => event.preventDefault());
for (const id of ["show-skeleton", "show-boxes", "show-names"]) element(id).addEventListener("change", redraw);
element("mirror").addEventListener("change", ({ target }) => {
  stage.mirror(target.checked);
  redraw();
});

/** The camera's frames are sent as they are, so that left is left; only the view is mirrored. */
function mirror(mirrored) {
  element("mirror").checked = mirrored;
  stage.mirror(mirrored);
}

function showScore() {
  element("score-value").textContent = Number(options.min_score.value).toFixed(2);
}

function chosen() {
  const { max_hands: most, min_score: least } = options;
  // As long as nobody has changed it, the service decides: it may answer fewer hands than the page would ask for.
  handsChosen ||= most.value !== most.defaultValue;
  const hands = handsChosen && most.validity.valid && { max_hands: Number(most.value) };
  const asked = { ...hands, min_score: Number(least.value) };
  asked.mirrored = mode !== "camera" && options.mirrored.checked;
  return mode === "photo" ? asked : { ...asked, smoothing: options.smoothing.checked };
}

// ---- answers

live.addEventListener("answer", ({ detail }) => {
  shown = { answer: detail.answer };
  stage.draw("live", detail, looks());
});
photo.addEventListener("busy", () => {
  say("Looking for hands …");
  noFailure();
  page.setAttribute("aria-busy", "true");
  if (stage.state !== "photo") stage.invite(mode, true); // otherwise the one before it is dimmed
  offer();
});
photo.addEventListener("answer", ({ detail }) => {
  page.removeAttribute("aria-busy");
  shown = detail;
  list.show(detail.answer.hands);
  redraw();
  goOnFrom("choose");
  stage.describe(detail.answer.hands);
  showTiming(detail.answer);
  showJson(detail.answer);
  const none = detail.answer.hands.length === 0;
  say(none ? "No hand found. A lower score may show uncertain ones." : countWords(detail.answer.hands));
});
photo.addEventListener("failed", async ({ detail }) => {
  page.removeAttribute("aria-busy");
  say("");
  if (!shown) {
    rest(); // nothing stays of the photo before it
    goOnFrom("begin");
  }
  if (detail.status === 401 && (await haveKey())) return photo.ask(chosen());
  const again = detail instanceof HandError && [0, 401, 429, 503].includes(detail.status);
  fail(detail, again ? () => photo.ask(chosen()) : undefined);
});

function looks() {
  const [skeleton, boxes, names] = ["skeleton", "boxes", "names"].map((what) => element(`show-${what}`).checked);
  return { skeleton, boxes, names, selected: list.selected };
}

function redraw() {
  if (shown?.picture) stage.draw("photo", shown, looks());
  else if (video.paused) live.look(); // one that plays is drawn soon enough
}
addEventListener("resize", redraw);

stream.addEventListener("state", ({ detail: { state, reason, retryInMs } }) => {
  if (!live.running) return;
  const because = reason && ` ${reason.replace(/[.]?$/, ".")}`;
  if (state === "open") stage.notice("");
  if (state === "refused") stage.notice(`The service refused this stream.${because}`, true);
  if (state === "waiting") {
    stage.notice(`Not connected to the service.${because} Trying again in ${Math.ceil(retryInMs / 1000)} s.`, true);
  }
  if (state === "waiting" || state === "refused") {
    stage.film("away");
    shown = null;
    list.show([]);
    say("");
  }
});
stream.addEventListener("problem", async ({ detail }) => {
  if (detail.status !== 401) return fail(new SourceError(detail.detail));
  if ((await haveKey()) && live.running) stream.connect();
});

/** Ask for the key that the service wants; whether there is one to try. */
async function haveKey() {
  const given = await askForKey();
  stream.key = currentKey();
  if (given) showKey();
  return given;
}

function showKey() {
  showCode(mode !== "photo", currentKey() !== "");
  element("forget-key").hidden = !keyIsKept();
}
element("forget-key").addEventListener("click", () => {
  forgetKey();
  stream.key = "";
  showKey();
  say("The key is forgotten.");
});
element("retry").addEventListener("click", () => stream.connect());
addEventListener("online", () => stream.state === "waiting" && stream.connect());

let words = "";
setInterval(() => {
  if (!live.running) return;
  transport.show();
  showFigures(live.statistics.at(performance.now()));
  if (stage.state !== "live" || !shown) return;
  const { hands } = shown.answer;
  list.show(hands);
  stage.describe(hands);
  if (element("json-view").open || element("json-view").hidden) showJson(shown.answer);
  const now = countWords(hands);
  if (now === words) say(now); // said when it has been so for two looks: a screen reader reads it out
  words = now;
}, TICK_MS);

element("save").addEventListener("click", async () => saveAs(await stage.png(), "hands.png"));
element("copy").addEventListener("click", () => copyText(element("json")));

document.documentElement.style.setProperty("--left", HAND_COLOURS.left);
document.documentElement.style.setProperty("--right", HAND_COLOURS.right);
enterNamed();
