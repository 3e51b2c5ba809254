/* The list of runs of the Compare tab: which are ticked, in the order of the ticks, is told to the server. */
(() => {
  "use strict";
  const MOST = 8;

  function comparePick(element, trigger) {
    let order = [];
    const search = document.createElement("input");
    search.type = "search";
    search.placeholder = "Filter by name";
    search.setAttribute("aria-label", "Filter runs by name");
    search.className = "compare-filter";
    element.before(search);
    const filter = () => {
      const words = search.value.trim().toLowerCase();
      element.querySelectorAll(".picks li").forEach((item) => {
        const box = item.querySelector("input"), ticked = order.includes(box.value);
        if (box.checked !== ticked) box.checked = ticked;   // a row that was drawn anew
        const away = !item.textContent.toLowerCase().includes(words) && !ticked;
        if (item.hidden !== away) item.hidden = away;
      });
    };
    search.addEventListener("input", filter);
    new MutationObserver(filter).observe(element, { childList: true, subtree: true });
    element.addEventListener("change", (event) => {
      const box = event.target;
      if (box.type !== "checkbox") return;
      order = order.filter((id) => id !== box.value);
      if (box.checked && order.length >= MOST) { box.checked = false; return; }
      if (box.checked) order.push(box.value);
      trigger("click", { runs: order, turn: window.loratory.turn() });
    });
  }

  Object.assign(window.loratory, { comparePick });
})();
