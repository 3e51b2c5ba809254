/* The queue's card: clicks and dragged entries become one event; the keyboard's place is kept when the card is drawn anew.
   The offers under Start press the page's own buttons. */
(() => {
  "use strict";
  const MOVES = ["up", "down"];
  const openRuns = () => window.loratory.openTab("Runs");

  function queue(element, trigger) {
    let held = null, dragged = null;
    const send = (values) => trigger("click", values);
    const entryOf = (event) => (event.target.closest ? event.target.closest("li[data-entry]") : null);
    const markOf = (button) => (button ? { what: button.dataset.queue, entry: button.dataset.entry } : null);
    const open = new Set(), shut = new Set();

    element.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-queue]");
      if (!button || button.getAttribute("aria-disabled") === "true") return;
      const what = button.dataset.queue;
      if (MOVES.includes(what) || !window.loratory.again(event)) send({ what, entry: button.dataset.entry, before: "" });
    });
    element.addEventListener("focusin", (event) => { held = markOf(event.target.closest("button[data-queue]")); });
    element.addEventListener("focusout", (event) => { if (event.relatedTarget) held = null; });
    /* by the reader: drawing the card anew opens and shuts as well */
    element.addEventListener("click", (event) => {
      const part = event.target.closest("summary")?.parentElement, key = part?.dataset.fold;
      if (!key) return;
      (part.open ? shut : open).add(key);
      (part.open ? open : shut).delete(key);
    });

    /* dragging: an entry that has not begun, before another one of them; the card may be drawn anew meanwhile */
    const isBelow = (event, goal) => {
      const box = goal.getBoundingClientRect();
      return event.clientY > box.top + box.height / 2;
    };
    element.addEventListener("dragstart", (event) => {
      const item = entryOf(event);
      dragged = item ? item.dataset.entry : null;
      if (!dragged) return;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", "");
      item.classList.add("dragged");
    });
    const clear = () => element.querySelectorAll(".goal").forEach((item) => item.classList.remove("goal", "below"));
    element.addEventListener("dragover", (event) => {
      const goal = entryOf(event);
      clear();
      if (!dragged || !goal || !goal.draggable || goal.dataset.entry === dragged) return;
      event.preventDefault();
      goal.classList.add("goal");
      goal.classList.toggle("below", isBelow(event, goal));
    });
    element.addEventListener("drop", (event) => {
      const goal = entryOf(event);
      if (!dragged || !goal || !goal.draggable || goal.dataset.entry === dragged) return;
      event.preventDefault();
      const behind = [...element.querySelectorAll("li[draggable]")].filter((item) => item.dataset.entry !== dragged);
      const at = behind.indexOf(goal) + (isBelow(event, goal) ? 1 : 0);
      send({ what: "place", entry: dragged, before: behind[at] ? behind[at].dataset.entry : "" });
    });
    document.addEventListener("dragend", () => {
      element.querySelectorAll(".dragged").forEach((item) => item.classList.remove("dragged"));
      dragged = null;
      clear();
    });

    /* what was opened stays open; drawing anew reuses nodes, so that the focus would stay with a place, not an entry */
    const back = () => {
      for (const part of element.querySelectorAll("details[data-fold]")) {
        if (open.has(part.dataset.fold) && !part.open) part.open = true;
        if (shut.has(part.dataset.fold) && part.open) part.open = false;
      }
      const active = document.activeElement;
      if (!held || (active !== document.body && !element.contains(active))) return;
      if (active.dataset.queue === held.what && active.dataset.entry === held.entry) return;
      const all = [...element.querySelectorAll("button[data-queue]")];
      const same = all.find((button) => button.dataset.queue === held.what && button.dataset.entry === held.entry)
        || all.find((button) => button.dataset.entry === held.entry);
      const wanted = held;
      same?.focus({ preventScroll: true });
      held = wanted;
    };
    new MutationObserver(back).observe(element, { childList: true, subtree: true, attributeFilter: ["data-entry"] });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest ? event.target.closest("[data-press], [data-queue-open]") : null;
    if (!button) return;
    if (button.dataset.press) document.getElementById(button.dataset.press)?.click();
    else openRuns();
  });

  /* how many wait, as a mark on the Runs tab */
  setInterval(() => {
    const count = document.querySelector("#queue-mark [data-waiting]")?.dataset.waiting ?? "0";
    const tabs = document.getElementById("tabs");
    if (!tabs || tabs.dataset.waiting === count) return;
    tabs.dataset.waiting = count;
    tabs.style.setProperty("--waiting", `"+${count}"`);
  }, 1000);

  Object.assign(window.loratory, { queue });
})();
