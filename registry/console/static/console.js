"use strict";
// Everything works without this file, but the camera: it only saves a click here and there.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-print]");
  if (button) window.print();
});
// Arrow keys walk through a closed list, each step a change: who uses them presses the button beside it.
let byPointer = false;
document.addEventListener("pointerdown", () => { byPointer = true; });
document.addEventListener("keydown", () => { byPointer = false; });
document.addEventListener("change", (event) => {
  if (byPointer && event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});
for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;

const scan = document.querySelector("[data-scan]");
if (scan && window.isSecureContext && navigator.mediaDevices && "BarcodeDetector" in window) {
  scan.hidden = false;
  scan.querySelector("button").addEventListener("click", async () => {
    const video = scan.querySelector("video");
    const detector = new BarcodeDetector({ formats: ["qr_code", "data_matrix"] });
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.hidden = false;
    await video.play();
    const look = async () => {
      const found = await detector.detect(video).catch(() => []);
      if (found.length === 0) return requestAnimationFrame(look);
      video.srcObject.getTracks().forEach((track) => track.stop());
      const field = document.querySelector("#text");
      field.value = found[0].rawValue;
      field.form.requestSubmit();
    };
    look();
  });
}
