// The camera: opens it, lists the others there are, and says in words why it cannot be had.

const WORDS = {
  insecure:
    "Browsers allow the camera only on pages opened over https or on localhost. Photos and videos still work.",
  refused:
    "Camera access was denied. Allow it in the address bar or in the browser's settings, then try again.",
  missing: "No camera was found. Plug one in and try again, or use a video or a photo.",
  busy: "The camera is busy. Another program or tab seems to be using it; close that and try again.",
  gone: "The camera is gone. Was it unplugged?",
  failed: "The camera could not be started.",
};
// Names of the exceptions of getUserMedia (W3C Media Capture and Streams, section 10.2), and the older ones of some
// browsers.
const KINDS = {
  NotAllowedError: "refused",
  PermissionDeniedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  DevicesNotFoundError: "missing",
  NotReadableError: "busy",
  TrackStartError: "busy",
  AbortError: "busy",
};

/** Why there is no camera: `kind` for programs, `message` for people. */
export class CameraError extends Error {
  /** @param {keyof typeof WORDS} kind */
  constructor(kind, cause = undefined) {
    const told = kind === "failed" && cause ? ` The browser says: ${cause.message || cause.name}` : "";
    super(WORDS[kind] + told, { cause });
    this.name = "CameraError";
    this.kind = kind;
  }
}

/**
 * Open a camera.
 *
 * @param {string} [deviceId] of `listCameras`; any when it is empty or no longer there
 * @returns {Promise<MediaStream>} with one video track; the caller stops it
 * @throws {CameraError}
 */
export async function openCamera(deviceId = "") {
  if (!isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new CameraError("insecure");
  // The size is a wish. `none`: no camera is cropped to fulfil it.
  const video = {
    ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" }),
    width: { ideal: 1280 },
    height: { ideal: 720 },
    frameRate: { ideal: 30 },
    resizeMode: { ideal: "none" },
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: false, video });
  } catch (error) {
    if (error.name === "OverconstrainedError" && deviceId) return openCamera();
    throw new CameraError(KINDS[error.name] ?? "failed", error);
  }
}

/** @returns {Promise<{id: string, name: string}[]>} names are known once a camera was allowed */
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices
    .filter((device) => device.kind === "videoinput" && device.deviceId)
    .map((device, index) => ({ id: device.deviceId, name: device.label || `Camera ${index + 1}` }));
}

/** Whether people expect to see themselves in it as in a mirror: all cameras but one at a phone's back. */
export function facesPeople(stream) {
  return stream.getVideoTracks()[0]?.getSettings().facingMode !== "environment";
}
