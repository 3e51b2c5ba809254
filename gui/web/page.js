/* What the page does without asking the server: help pop-overs, tier and search, folding, the rows of image folders,
   and showing what the server says of single fields (problems, why a field is off, what a blank one means, offers).
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
  const inputOf = (field) => field.querySelector("input:not([type=hidden]), textarea, select");
  let said = { problems: {}, off: {}, hints: {}, offers: {}, facts: {} };
  let view = { tier: "basic", words: [] };

  /* ---- help ---- */
  const tip = make("div", "tip");
  tip.id = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;

  function showTip(button, id) {
    const about = HELP[id];
    tip.replaceChildren(make("strong", "", about.label), make("p", "", about.help));
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

  function labelOf(field) {
    return field.querySelector("[data-testid=block-info]") || field.querySelector("label > span.label-text")
      || field.querySelector(".label-text") || field.querySelector("label span");
  }

  function addHelp(field) {
    const about = HELP[field.id];
    const label = labelOf(field);
    if (!about || !label || field.querySelector(".help")) return;
    const button = make("button", "help", "?");
    button.type = "button";
    button.setAttribute("aria-label", `Help: ${about.label}`);
    button.setAttribute("aria-describedby", "tip");
    button.addEventListener("mouseenter", () => showTip(button, field.id));
    button.addEventListener("focus", () => showTip(button, field.id));
    button.addEventListener("mouseleave", hideTip);
    button.addEventListener("blur", hideTip);
    button.addEventListener("click", (event) => { event.preventDefault(); event.stopPropagation(); showTip(button, field.id); });
    label.after(button);
    const input = inputOf(field);
    if (input && !input.getAttribute("aria-describedby")) {
      const note = make("span", "unseen", about.help);
      note.id = `${field.id}-help`;
      field.append(note);
      input.setAttribute("aria-describedby", note.id);
    }
  }

  /* ---- what the server says of fields ---- */
  function note(field, cls, text) {
    let node = field.querySelector(`:scope > .${cls}`);
    if (!text) { if (node) node.remove(); return null; }
    if (!node) { node = make("div", `note ${cls}`); field.append(node); }
    if (node.dataset.text !== text) { node.textContent = text; node.dataset.text = text; }
    return node;
  }

  function dress(field) {
    addHelp(field);
    const id = field.id, wrong = (said.problems[id] || []).join(" "), input = inputOf(field);
    const node = note(field, "wrong", wrong);
    if (node) node.setAttribute("role", "status");
    field.classList.toggle("has-problem", Boolean(wrong));
    if (input) input.setAttribute("aria-invalid", wrong ? "true" : "false");
    field.classList.toggle("is-off", id in said.off);
    note(field, "why-off", said.off[id]);
    if (input && said.facts[id] !== undefined && input.value !== said.facts[id]) input.value = said.facts[id];
    const choice = field.classList.contains("kind-choice");
    if (input && !choice && said.hints[id] !== undefined && input.placeholder !== said.hints[id]) input.placeholder = said.hints[id];
    if (choice) note(field, "hint", said.hints[id] && `automatic: ${said.hints[id]}`);
    dressOffer(field, said.offers[id]);
  }

  document.addEventListener("input", (event) => {
    if (event.target.closest && event.target.closest(".field")) at("result")?.classList.add("stale");
  });

  function dressOffer(field, offer) {
    const before = field.querySelector(":scope > .offer");
    const key = offer ? `${offer.text} ${offer.value}` : "";
    if (before && before.dataset.key === key) return;
    if (before) before.remove();
    if (!offer) return;
    const node = make("div", "note offer", `${offer.text} `);
    node.dataset.key = key;
    const button = make("button", "", `use ${offer.value}`);
    button.type = "button";
    button.addEventListener("click", () => setText(inputOf(field), offer.value));
    node.append(button);
    field.append(node);
  }

  function setText(input, text) {
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  const fields = () => document.querySelectorAll(".field[id^=f-]");
  function dressAll() { fields().forEach(dress); look(); }

  function live(json) {
    try { said = { ...said, ...JSON.parse(json || "{}") }; } catch { return; }
    dressAll();
  }

  /* ---- tier, search, folding ---- */
  function look() {
    const allowed = TIERS.indexOf(view.tier);
    let found = 0;
    document.querySelectorAll(".group").forEach((group) => {
      let seen = 0;
      group.querySelectorAll(".field").forEach((field) => {
        const about = HELP[field.id];
        if (!about) return;
        const own = TIERS.findIndex((tier) => field.classList.contains(`tier-${tier}`));
        const text = `${about.label} ${about.path} ${about.kohya} ${about.help} ${about.words}`.toLowerCase();
        const fits = view.words.length ? view.words.every((word) => text.includes(word)) : own <= allowed;
        field.classList.toggle("unseen-field", !fits);
        seen += fits ? 1 : 0;
      });
      found += seen;
      group.classList.toggle("unseen-field", seen === 0);
      group.classList.toggle("searched", view.words.length > 0);
    });
    document.body.dataset.tier = view.tier;
    document.body.classList.toggle("nothing-fits", found === 0);
  }

  function tier(name) {
    view.tier = String(name).toLowerCase();
    try { localStorage.setItem("loratory-tier", view.tier); } catch { /* a browser that keeps nothing */ }
    look();
  }

  function lastTier() {
    let kept = null;
    try { kept = localStorage.getItem("loratory-tier"); } catch { return; }
    const radio = [...document.querySelectorAll("#tier input")].find((input) => input.value.toLowerCase() === kept);
    if (radio && !radio.checked) radio.click();
  }

  function search(text) {
    view.words = String(text || "").toLowerCase().split(/\s+/).filter(Boolean);
    if (view.words.length) openTab("Train");
    look();
  }

  function jump(id) {
    const field = at(id);
    if (!field) return;
    openTab("Train");
    if (field.classList.contains("unseen-field")) {
      const wanted = TIERS.find((name) => field.classList.contains(`tier-${name}`));
      const radio = [...document.querySelectorAll("#tier input")].find((input) => input.value.toLowerCase() === wanted);
      if (radio) radio.click();
      const box = inputOf(at("search"));
      if (box && box.value) setText(box, "");
      view = { tier: wanted, words: [] };
    }
    const group = field.closest(".group");
    if (group) { group.classList.remove("folded"); }
    look();
    setTimeout(() => {
      field.scrollIntoView({ block: "center", behavior: "smooth" });
      field.classList.add("found");
      setTimeout(() => field.classList.remove("found"), 1800);
      const input = inputOf(field);
      if (input) input.focus({ preventScroll: true });
    }, 60);
  }

  function openTab(name) {
    const tab = at(`tab-${name.toLowerCase()}-button`);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  }

  document.addEventListener("click", (event) => {
    const goal = event.target.closest ? event.target.closest("[data-jump], .fold, [data-copy]") : null;
    if (!goal) return;
    if (goal.dataset.jump) jump(goal.dataset.jump);
    if (goal.classList.contains("fold")) {
      const folded = goal.closest(".group").classList.toggle("folded");
      goal.setAttribute("aria-expanded", String(!folded));
    }
    if (goal.dataset.copy) navigator.clipboard?.writeText(goal.dataset.copy).then(() => {
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

  /* ---- the rows of image folders ---- */
  const CELLS = [
    ["path", "folder of pictures", "Folder"],
    ["repeats", "repeats", "Repeats; empty: from the folder's name"],
    ["trigger", "own trigger word", "Trigger word of this folder; empty: the one below"],
  ];

  function folderRows(element, props, trigger, watch) {
    const box = element.querySelector(".folder-rows") || element;
    let sent = null;
    const rows = () => [...box.querySelectorAll(".folder-row")].map((row) =>
      Object.fromEntries(CELLS.map(([name]) => [name, row.querySelector(`[name=${name}]`).value])));
    const send = () => {
      sent = JSON.stringify(rows());
      props.value = rows();
      trigger("input");
    };
    const row = (values) => {
      const node = make("div", "folder-row");
      CELLS.forEach(([name, placeholder, label]) => {
        const input = make("input");
        input.name = name;
        input.placeholder = placeholder;
        input.setAttribute("aria-label", label);
        input.title = label;
        input.spellcheck = false;
        input.value = values[name] || "";
        if (name === "repeats") input.inputMode = "numeric";
        input.addEventListener("input", send);
        node.append(input);
      });
      const away = make("button", "away", "×");
      away.type = "button";
      away.title = "Remove this row; the folder itself is not touched";
      away.setAttribute("aria-label", away.title);
      away.addEventListener("click", () => { node.remove(); if (!box.querySelector(".folder-row")) list.append(row({})); send(); });
      node.append(away);
      return node;
    };
    const list = make("div", "folder-list");
    const label = make("span", "label-text", "Images");
    const more = make("button", "more", "+ another folder");
    more.type = "button";
    more.addEventListener("click", () => { list.append(row({})); list.lastElementChild.querySelector("input").focus(); });
    const draw = () => {
      const values = Array.isArray(props.value) && props.value.length ? props.value : [{}];
      list.replaceChildren(...values.map(row));
      if (!list.isConnected || !box.isConnected) {
        const target = element.querySelector(".folder-rows") || element;
        target.replaceChildren(label, list, more);
      }
    };
    box.replaceChildren(label, list, more);
    draw();
    watch("value", () => {
      if (!element.contains(list)) (element.querySelector(".folder-rows") || element).replaceChildren(label, list, more);
      if (JSON.stringify(props.value) !== sent) draw();
    });
  }

  function download(json) {
    if (!json) return;
    const { name, text } = JSON.parse(json);
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/toml" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  }

  window.loratory = { live, download, lastTier, tier, search, jump, folderRows, openTab };

  /* Gradio draws its components when it likes: fields that come or are redrawn are dressed again. */
  let due = 0;
  const soon = () => { if (!due) due = requestAnimationFrame(() => { due = 0; dressAll(); }); };
  function begin() {
    document.body.append(tip);
    new MutationObserver((changes) => {
      const outside = changes.some((change) => [...change.addedNodes].some((node) =>
        node.nodeType === 1 && !node.matches(".note, .help, .unseen, .tip, .folder-row")));
      if (outside) soon();
    }).observe(document.body, { childList: true, subtree: true });
    soon();
  }
  if (document.body) begin(); else document.addEventListener("DOMContentLoaded", begin);
})();
