// What the page says and hands over.

import { CameraError } from "./camera.js";
import { HandError } from "./hand-client.js";
import { SourceError } from "./live.js";

const [status, box] = ["status", "error"].map((id) => document.getElementById(id));

/** Say how it goes; a screen reader reads it out. */
export function say(words) {
  if (status.textContent !== words) status.textContent = words;
}

/**
 * Say what went wrong.
 *
 * @param {Error} error its message is shown when it is one of ours
 * @param {() => void} [again] what a button to try again does
 */
export function fail(error, again) {
  const ours = [HandError, CameraError, SourceError].some((kind) => error instanceof kind);
  box.replaceChildren(ours ? error.message : `The browser could not do that: ${error.message}`);
  if (again) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Try again";
    button.addEventListener("click", again);
    box.append(button);
  }
  box.hidden = false;
}

export function noFailure() {
  box.hidden = true;
}

/** Let the browser save it as a file. @param {Blob} blob */
export function saveAs(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Copy the text of an element to the clipboard. */
export async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(element); // no permission, or not a secure page
    say("Press Ctrl+C to copy what is selected.");
  }
}
