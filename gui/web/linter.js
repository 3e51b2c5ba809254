/* The linter's list: clicks on its buttons go to the server, and the button that was pressed keeps the focus when the list
   is drawn anew. */
(() => {
  "use strict";
  window.loratory.linter = (element, trigger, watch) => {
    let last = "";
    element.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-show], button[data-grid], button[data-fix]");
      if (!button) return;
      last = button.id;
      if (button.dataset.fix) {
        element.querySelectorAll("button[data-fix]").forEach((each) => { each.disabled = true; });
        trigger("submit", { fix: button.dataset.fix });
      } else if (button.dataset.grid) {
        trigger("click", { what: "grid", place: button.dataset.grid });
        document.getElementById("dataset-tab")?.scrollIntoView({ block: "start" });
      } else {
        trigger("click", { what: "show", place: button.dataset.show });
      }
    });
    watch("value", () => {
      if (last) requestAnimationFrame(() => { document.getElementById(last)?.focus({ preventScroll: true }); last = ""; });
    });
  };
})();
