// Files: chosen, dropped, pasted.

const ACCEPT = { video: "video/*", photo: "image/jpeg,image/png,image/webp,image/bmp" };

/**
 * Take files from wherever they come.
 *
 * @param {object} to
 * @param {HTMLElement} to.area is given the class `over` while something is dragged over the page
 * @param {(file: File) => void} to.take is given each file
 * @param {(words: string) => void} to.refuse is told why there is none
 * @returns {{choose: (kind: keyof typeof ACCEPT) => void}} `choose` opens the browser's dialogue
 */
export function connectIntake({ area, take, refuse }) {
  const input = document.getElementById("file");
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || area.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    const [dropped] = event.dataTransfer.files;
    if (dropped) take(dropped);
    else refuse("That was not a file. Save the picture first, then drop the file.");
  });
  addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
    if (pasted) take(pasted);
    else if (!event.target.closest("input")) refuse("There is no picture in the clipboard.");
  });
  return {
    choose(kind) {
      input.accept = ACCEPT[kind];
      input.click();
    },
  };
}
