/* The Help tab: its text is asked for when it is first seen (`opened`); its own links to tabs and to its parts. Links to
   settings are page.js's. */
(() => {
  "use strict";
  window.loratory.help = (element, opened) => {
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      opened();
    });
    seen.observe(element);
    element.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-tab], button[data-part]");
      if (!button) return;
      if (button.dataset.tab) { window.loratory.openTab(button.dataset.tab); scrollTo({ top: 0 }); return; }
      const part = element.querySelector(`#help-${button.dataset.part}`);
      if (!part) return;
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      part.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
      part.focus({ preventScroll: true });
    });
  };
})();
