/* What the whole page needs, without asking the server: help pop-overs, tabs, how much is shown (tier, dense), copying,
   downloads. Other scripts take what they need from `window.loratory`.
   All text enters by textContent: nothing that comes from outside is ever markup. */
(() => {
  "use strict";
  const HELP = /* HELP */ {};
  const TIERS = ["basic", "advanced", "expert"];
  const at = (id) => document.getElementById(id);
  const make = (tag, cls, text) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const button = (cls, text, act) => {
    const node = make("button", cls, text);
    node.type = "button";
    if (act) node.addEventListener("click", act);
    return node;
  };
  const inputOf = (field) => field.querySelector("input:not([type=hidden]), textarea, select");
  const keep = (name, value) => {
    try { localStorage.setItem(`loratory-${name}`, value); } catch { /* a browser that keeps nothing */ }
  };
  const kept = (name) => {
    try { return localStorage.getItem(`loratory-${name}`); } catch { return null; }
  };

  /* ---- help ---- */
  const tip = make("div", "tip");
  tip.id = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;

  /* `now`: what the field's value comes to, in figures. */
  function showTip(button, id, now) {
    const about = HELP[id];
    tip.replaceChildren(make("strong", "", about.label), make("p", "", about.help));
    if (now) tip.append(make("p", "now", now));
    if (about.range) tip.append(make("p", "range", about.range));
    if (about.choices.length) tip.append(listOf(about.choices));
    tip.classList.toggle("long", about.choices.length > 4);
    const names = make("p", "names");
    names.append(make("code", "", about.path));
    if (about.kohya) names.append(" · sd-scripts: ", make("code", "", about.kohya));
    tip.append(names);
    tip.hidden = false;
    const box = button.getBoundingClientRect();
    const left = Math.max(8, Math.min(box.left - 12, innerWidth - tip.offsetWidth - 8));
    const below = box.bottom + 6 + tip.offsetHeight < innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - 6 - tip.offsetHeight)}px`;
  }
  function listOf(choices) {
    const list = make("ul");
    choices.forEach(([name, text]) => {
      const row = make("li");
      row.append(make("strong", "", name), text ? `: ${text}` : "");
      list.append(row);
    });
    return list;
  }
  const hideTip = () => { tip.hidden = true; };

  /* ---- tabs, tiers, density ---- */
  function openTab(name) {
    const tab = at(`tab-${name.toLowerCase()}-button`);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  }

  function tier(name) {
    const chosen = String(name).toLowerCase();
    keep("tier", chosen);
    document.body.dataset.tier = chosen;
    window.loratory.look();
  }
  const tierNow = () => document.body.dataset.tier || "basic";

  function chooseTier(name) {
    const radio = [...document.querySelectorAll("#tier input")].find((input) => input.value.toLowerCase() === name);
    if (radio && !radio.checked) radio.click();
  }
  const lastTier = () => chooseTier(kept("tier"));

  /* Marked on the form itself: Gradio repeats our rules below its own container, where those that start at the body lose. */
  function dense(on) {
    keep("dense", on ? "1" : "");
    showDense();
  }
  function showDense() {
    const on = Boolean(kept("dense"));
    at("train")?.toggleAttribute("data-dense", on);
    at("dense")?.setAttribute("aria-pressed", String(on));
  }

  document.addEventListener("click", (event) => {
    const goal = event.target.closest ? event.target.closest("[data-copy], #dense") : null;
    if (!goal) return;
    if (goal.id === "dense") dense(!kept("dense"));
    else navigator.clipboard?.writeText(goal.dataset.copy).then(() => {
      goal.textContent = "copied";
      setTimeout(() => { goal.textContent = "copy"; }, 1200);
    });
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  addEventListener("scroll", hideTip, { passive: true, capture: true });

  /* Gradio's text box tells of an edit on a key press only: text that is pasted, cut, deleted, dropped or corrected by the
     browser would go unseen (seen in 6.31). Such an edit is followed here by a key press without a key. */
  let pressed = null;
  document.addEventListener("keypress", (event) => { if (event.isTrusted) pressed = event.target; }, true);
  document.addEventListener("input", (event) => {
    const box = event.target;
    if (!box.matches || !box.matches("[data-testid=textbox]")) return;
    const seen = pressed === box;
    pressed = null;
    if (!seen) box.dispatchEvent(new KeyboardEvent("keypress", { key: "Unidentified", bubbles: true }));
  });

  function download(json) {
    if (!json) return;
    [JSON.parse(json)].flat().forEach(({ name, text }) => {
      const link = make("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "application/toml" }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 5000);
    });
  }

  /* The number of a message that says how things are to stand: higher than all before it, also than those of a page that
     was open before in this session (gui/turns.py). */
  let last = 0;
  const turn = () => { last = Math.max(last + 1, Date.now()); return last; };

  /* The second click of a double click: where a deed is done once, whatever has come under the pointer meanwhile. */
  const again = (event) => event.detail > 1;

  window.loratory = {
    HELP, TIERS, at, make, button, inputOf, keep, kept, showTip, hideTip, openTab, tier, tierNow, chooseTier, lastTier, showDense, download, turn, again,
    look: () => {},
  };

  function begin() {
    document.body.append(tip);
    document.body.dataset.tier = "basic";
  }
  if (document.body) begin(); else document.addEventListener("DOMContentLoaded", begin);
})();
