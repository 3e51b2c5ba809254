/* The Try tab: clicks on its tries; what the reader has opened stays open when an area is drawn anew. */
(() => {
  "use strict";
  function tries(element, trigger) {
    const open = new Set();
    let held = "";
    element.addEventListener("click", async (event) => {
      const copy = event.target.closest("button.copy");
      const button = event.target.closest("button[data-what]");
      if (copy) { event.stopPropagation(); navigator.clipboard?.writeText(copy.dataset.copy); copy.textContent = "copied"; }
      if (!button || window.loratory.again(event)) return;
      if (button.dataset.what === "delete" && !confirm(window.loratory.told("Delete this try? Its folder goes to the trash of the runs folder."))) return;
      trigger("click", { what: button.dataset.what, try: button.dataset.try });
    });
    element.addEventListener("focusin", (event) => { held = event.target.dataset?.try ?? ""; });
    element.addEventListener("focusout", (event) => { if (event.relatedTarget) held = ""; });
    element.addEventListener("toggle", (event) => {
      const key = event.target.dataset?.fold;
      if (key) (event.target.open ? open.add(key) : open.delete(key));
    }, true);
    new MutationObserver(() => {
      for (const part of element.querySelectorAll("details[data-fold]")) {
        if (open.has(part.dataset.fold) && !part.open) part.open = true;
      }
      if (!held || document.activeElement !== document.body) return;
      element.querySelector(`button[data-try="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
    }).observe(element, { childList: true, subtree: true });
  }
  Object.assign(window.loratory, { tries });
})();
