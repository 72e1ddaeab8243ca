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

// The camera, where the browser reads codes by itself; a photograph works everywhere.
async function offerCamera(scan) {
  const formats = (await BarcodeDetector.getSupportedFormats()).filter((one) => ["qr_code", "data_matrix"].includes(one));
  if (formats.length === 0) return;
  const detector = new BarcodeDetector({ formats });
  const video = scan.querySelector("video"), refused = scan.querySelector("[data-refused]");
  const stop = () => {
    if (video.srcObject) video.srcObject.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    video.hidden = true;
  };
  const look = async () => {
    if (!video.srcObject) return;
    const found = await detector.detect(video).catch(() => []);
    if (found.length === 0) return requestAnimationFrame(look);
    stop();
    const form = scan.closest("form");
    form.elements.text.value = found[0].rawValue;
    form.requestSubmit();
  };
  scan.hidden = false;
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  scan.querySelector("button").addEventListener("click", async () => {
    stop();
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      refused.hidden = true;
    } catch {
      refused.hidden = false;
      return;
    }
    video.hidden = false;
    await video.play();
    look();
  });
}
const scan = document.querySelector("[data-scan]");
if (scan && window.isSecureContext && navigator.mediaDevices && "BarcodeDetector" in window) offerCamera(scan);
