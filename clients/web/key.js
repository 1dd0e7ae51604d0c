// The key that a service may want: asked for when it says so, forgotten with the page unless somebody wants it kept.

const NAME = "handpose-key";
const element = (id) => document.getElementById(id);
let key = kept();
/** @type {Promise<boolean> | null} */ let asking = null;

/** The key to send, "" for none. */
export function currentKey() {
  return key;
}

/** Whether it is kept beyond this page. */
export function keyIsKept() {
  return kept() !== "";
}

/** Neither keep a key nor send one any more. */
export function forgetKey() {
  key = "";
  store("");
}

/**
 * Ask for a key. One dialog at a time: who asks while it is open gets its answer.
 *
 * @returns {Promise<boolean>} whether there is another key now
 */
export function askForKey() {
  asking ??= ask().finally(() => (asking = null));
  return asking;
}

function ask() {
  const [dialog, form, input, keep] = ["key-dialog", "key-form", "key", "keep-key"].map(element);
  element("key-reason").textContent = key ? "It does not recognise the last one." : "Ask the operator of the service for one.";
  input.value = "";
  keep.checked = kept() !== "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault(); // no form is sent anywhere
      key = input.value.trim();
      store(keep.checked ? key : "");
      dialog.close("used");
    };
    element("key-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      input.value = "";
      resolve(dialog.returnValue === "used");
    };
  });
}

function kept() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // the browser keeps nothing
  }
}

function store(text) {
  try {
    if (text) localStorage.setItem(NAME, text);
    else localStorage.removeItem(NAME);
  } catch {
    return; // it lasts as long as the page, then
  }
}
