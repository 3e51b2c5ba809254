/* Search that jumps to a field: by its name, its sd-scripts flag or a word of the glossary. `/` or Ctrl-K goes there, the
   arrow keys choose, Enter jumps, Escape closes. */
(() => {
  "use strict";
  const L = window.loratory;
  const { HELP, at, make, inputOf } = L;
  const MOST = 10;
  const list = make("ul");
  list.id = "search-hits";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Settings found");
  list.hidden = true;
  let hits = [], chosen = -1;
  const box = () => at("search") && inputOf(at("search"));

  /* How well a setting fits, 0: not at all. Every word must be found; where it is found decides. */
  function score(id, words) {
    const about = HELP[id], field = at(id);
    if (!about || !field) return 0;
    const shown = L.labelOf(field)?.textContent || "";
    const places = [[`${about.label} ${shown}`, 8], [about.kohya, 7], [about.words, 5], [about.path, 4], [about.help, 1]];
    let sum = 0;
    for (const word of words) {
      const best = places.map(([text, weight]) => {
        const lower = text.toLowerCase(), flat = lower.replace(/_/g, " ");
        if (lower.split(/[\s,_.()-]+/).includes(word) || lower.split(/[\s,]+/).includes(word)) return weight + 3;
        return lower.includes(word) || flat.includes(word) ? weight : 0;
      }).reduce((one, other) => Math.max(one, other));
      if (!best) return 0;
      sum += best;
    }
    return sum;
  }

  function find(text) {
    const words = text.toLowerCase().replace(/^--/, "").split(/\s+/).filter(Boolean);
    if (!words.length) { close(); return; }
    const found = Object.keys(HELP).map((id) => [score(id, words), id]).filter(([points]) => points > 0);
    found.sort((one, other) => other[0] - one[0]);
    hits = found.slice(0, MOST).map(([, id]) => id);
    chosen = hits.length ? 0 : -1;
    list.replaceChildren(...hits.map(row));
    if (!hits.length) list.append(make("li", "none", "No setting matches."));
    place();
    mark();
  }

  function row(id, index) {
    const about = HELP[id], node = make("li");
    node.id = `hit-${index}`;
    node.setAttribute("role", "option");
    node.append(make("span", "hit-label", about.label));
    if (about.kohya) node.append(make("code", "", about.kohya));
    const title = at(id).closest(".group")?.querySelector(".name")?.textContent;
    if (title) node.append(make("span", "hit-group", title));
    node.addEventListener("mousedown", (event) => { event.preventDefault(); go(index); });
    return node;
  }

  function place() {
    const input = box(), edge = input.getBoundingClientRect();
    const width = Math.min(Math.max(edge.width, 420), innerWidth - 16);
    list.style.width = `${width}px`;
    list.style.left = `${Math.max(8, Math.min(edge.left, innerWidth - width - 8))}px`;
    list.style.top = `${edge.bottom + 4}px`;
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  }

  function mark() {
    [...list.children].forEach((node, index) => {
      node.setAttribute("aria-selected", String(index === chosen));
      if (index === chosen) node.scrollIntoView({ block: "nearest" });
    });
    if (chosen >= 0) box().setAttribute("aria-activedescendant", `hit-${chosen}`);
    else box().removeAttribute("aria-activedescendant");
  }

  function close() {
    list.hidden = true;
    hits = [];
    box()?.setAttribute("aria-expanded", "false");
    box()?.removeAttribute("aria-activedescendant");
  }

  function go(index) {
    const id = hits[index];
    if (!id) return;
    box().value = "";
    close();
    L.jump(id);
  }

  function keys(event) {
    if (event.key === "Escape") { event.target.value = ""; close(); event.target.blur(); return; }
    if (list.hidden || !hits.length) return;
    if (event.key === "Enter") go(chosen);
    else if (event.key === "ArrowDown") chosen = (chosen + 1) % hits.length;
    else if (event.key === "ArrowUp") chosen = (chosen + hits.length - 1) % hits.length;
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (!list.hidden) mark();
  }

  function dress() {
    const input = box();
    if (!input || input.dataset.search) return;
    input.dataset.search = "1";
    Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": "search-hits", "aria-autocomplete": "list",
      "aria-label": "Search settings", "aria-keyshortcuts": "/ Control+K" }).forEach((pair) => input.setAttribute(...pair));
    input.addEventListener("input", () => find(input.value));
    input.addEventListener("keydown", keys, true);
    input.addEventListener("blur", close);
  }

  document.addEventListener("focusin", (event) => { if (event.target.closest?.("#search")) dress(); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable=true]");
    const wanted = (event.key === "/" && !typing) || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey));
    if (!wanted || !box()) return;
    event.preventDefault();
    box().focus();
    box().select();
  });
  addEventListener("resize", close);
  const hang = () => { (document.querySelector("main") || document.body).append(list); };  // where people who go by landmarks find it
  addEventListener("load", hang);
  new MutationObserver((_, watcher) => { if (box()) { dress(); if (!list.closest("main")) hang(); watcher.disconnect(); } })
    .observe(document.documentElement, { childList: true, subtree: true });
})();
