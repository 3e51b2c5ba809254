/* The form: folding, what the server says of fields (problems, advice, offers, why one is off, what a blank one means, what
   a value comes to, what was changed) and the buttons that change fields through the server (`ask.fix`). */
(() => {
  "use strict";
  const L = window.loratory;
  const { HELP, TIERS, at, make, button, inputOf } = L;
  let said = { problems: {}, advice: {}, off: {}, hints: {}, offers: {}, facts: {}, changed: {}, groups: {}, now: {}, missing: [] };

  /* ---- help ---- */
  function labelOf(field) {
    return field.querySelector("[data-testid=block-info]") || field.querySelector("label > span.label-text")
      || field.querySelector(".label-text") || field.querySelector("label span");
  }

  /* Gradio's label goes around the field's text, our help button and the input: the browser would take the button for what is
     labelled, and its words for a part of the input's name. */
  function addName(field, label) {
    label.id ||= `${field.id}-name`;
    const input = inputOf(field), several = field.querySelector(".table-rows") || input?.type === "radio";
    const named = several ? field : input;
    if (several) field.setAttribute("role", input?.type === "radio" ? "radiogroup" : "group");
    if (named && named.getAttribute("aria-labelledby") !== label.id) named.setAttribute("aria-labelledby", label.id);
    const around = label.closest("label");
    if (!around || several || !input) return;
    input.id ||= `${field.id}-input`;
    if (around.htmlFor !== input.id) around.htmlFor = input.id;
  }

  function addHelp(field) {
    const about = HELP[field.id];
    const label = labelOf(field);
    if (about && label) addName(field, label);
    if (!about || !label || field.querySelector(".help")) return;
    const help = button("help", "?");
    help.setAttribute("aria-label", `Help: ${about.label}`);
    help.setAttribute("aria-describedby", "tip");
    const show = () => L.showTip(help, field.id, said.now[field.id]);
    help.addEventListener("mouseenter", show);
    help.addEventListener("focus", show);
    help.addEventListener("mouseleave", L.hideTip);
    help.addEventListener("blur", L.hideTip);
    help.addEventListener("click", (event) => { event.preventDefault(); event.stopPropagation(); show(); });
    label.after(help);
    const input = inputOf(field);
    if (input && !input.getAttribute("aria-describedby")) {
      const note = at(`${field.id}-help`) || make("span", "unseen", about.help);
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

  /* Sentences, each with the button that does what it advises where there is one. */
  function notes(field, cls, told) {
    let node = field.querySelector(`:scope > .${cls}`);
    if (!told || !told.length) { if (node) node.remove(); return; }
    const key = JSON.stringify(told);
    if (node && node.dataset.key === key) return;
    if (!node) { node = make("div", `note ${cls}`); field.append(node); }
    if (cls === "wrong") node.setAttribute("role", "status");
    node.dataset.key = key;
    node.replaceChildren(...told.map((each) => {
      const line = make("div");
      line.append(make("span", "", each.text));
      if (each.fix) line.append(" ", fixButton(each.fix));
      return line;
    }));
  }
  function fixButton(fix) {
    const node = button("fix", fix.label);
    node.dataset.change = JSON.stringify(fix.change);
    return node;
  }

  function dress(field) {
    addHelp(field);
    const id = field.id, wrong = said.problems[id], input = inputOf(field);
    notes(field, "wrong", wrong);
    notes(field, "advice", said.advice[id]);
    notes(field, "offer", said.offers[id] && [said.offers[id]]);
    field.classList.toggle("has-problem", Boolean(wrong));
    if (input) input.setAttribute("aria-invalid", wrong ? "true" : "false");
    field.classList.toggle("is-off", id in said.off);
    note(field, "why-off", said.off[id]);
    note(field, "now", wrong || said.offers[id] || said.advice[id] ? "" : said.now[id]);
    if (input && said.facts[id] !== undefined && input.value !== said.facts[id]) input.value = said.facts[id];
    const choice = field.classList.contains("kind-choice");
    if (input && !choice && said.hints[id] !== undefined && input.placeholder !== said.hints[id]) input.placeholder = said.hints[id];
    if (choice) note(field, "hint", said.hints[id] && `automatic: ${said.hints[id]}`);
    markChanged(field, said.changed[id]);
  }

  function markChanged(field, change) {
    field.classList.toggle("is-changed", Boolean(change));
    const before = field.querySelector(".reset");
    if (!change) { if (before) before.remove(); return; }
    const title = `Reset to: ${change.was}`;
    if (before && before.dataset.was === change.was) return;
    if (before) before.remove();
    const label = labelOf(field);
    if (!label) return;
    const reset = button("reset", "↺");
    reset.title = title;
    reset.dataset.was = change.was;
    reset.setAttribute("aria-label", `Reset ${HELP[field.id].label}`);
    reset.dataset.reset = JSON.stringify([change.path]);
    (field.querySelector(".help") || label).after(reset);
  }

  /* ---- groups: what they hold, how many changed, folded or not ---- */
  function folds() { try { return JSON.parse(L.kept("folds") || "{}"); } catch { return {}; } }
  const isFolded = (group) => !group.classList.contains("pinned") && (folds()[group.id] ?? folds()["*"] ?? true);
  function fold(group, on, remember = true) {
    group.classList.toggle("folded", on);
    group.querySelector(".fold")?.setAttribute("aria-expanded", String(!on));
    if (remember) L.keep("folds", JSON.stringify({ ...folds(), [group.id]: on }));
  }
  function foldAll(on) {
    L.keep("folds", JSON.stringify({ "*": on }));
    document.querySelectorAll(".group").forEach((group) => fold(group, isFolded(group), false));
  }

  function head(group) {
    const title = group.querySelector(".group-title");
    if (!title) return;
    if (!group.dataset.ready) { group.dataset.ready = "1"; fold(group, isFolded(group), false); }
    const words = said.groups[group.id] || [];
    const changed = [...group.querySelectorAll(".field")].map((field) => said.changed[field.id]).filter(Boolean);
    const wrong = [...group.querySelectorAll(".field")].filter((field) => said.problems[field.id]).length;
    const key = JSON.stringify([words, changed, wrong]);
    const holds = title.querySelector(".holds"), marks = title.querySelector(".marks");
    if (!holds || title.dataset.key === key) return;
    title.dataset.key = key;
    holds.replaceChildren(...words.map((word) => make("span", "", word)));
    marks.replaceChildren();
    if (wrong) marks.append(make("span", "count-wrong", wrong === 1 ? "1 problem" : `${wrong} problems`));
    if (!changed.length) return;
    marks.append(make("span", "count-changed", `${changed.length} changed`));
    const reset = button("reset-all", "reset all");
    reset.dataset.reset = JSON.stringify(changed.map((each) => each.path));
    reset.setAttribute("aria-label", `Reset all in ${title.querySelector(".name").textContent}`);
    marks.append(reset);
  }

  /* Which fields the tier shows, and what stands beside them. */
  const tierOf = (part) => TIERS.findIndex((tier) => part.classList.contains(`tier-${tier}`));
  function look() {
    const allowed = TIERS.indexOf(L.tierNow());
    document.querySelectorAll(".group").forEach((group) => {
      let seen = 0;
      group.querySelectorAll(".field").forEach((field) => {
        if (!HELP[field.id]) return;
        const fits = tierOf(field) <= allowed;
        field.classList.toggle("unseen-field", !fits);
        seen += fits ? 1 : 0;
      });
      group.querySelectorAll(".beside-fields").forEach((part) => part.classList.toggle("unseen-field", tierOf(part) > allowed));
      group.classList.toggle("unseen-field", seen === 0);
    });
    at("train")?.setAttribute("data-tier", L.tierNow());
  }

  /* ---- beside Start, and after a button's deed ---- */
  function blocked() {
    const place = at("blocked"), key = JSON.stringify(said.missing);
    if (!place || place.dataset.key === key) return;
    place.dataset.key = key;
    place.replaceChildren();
    const count = said.missing.length;
    if (!count) return;
    place.append(make("span", "", count === 1 ? "1 thing to solve first:" : `${count} things to solve first:`));
    said.missing.forEach(([id, label]) => {
      const jump = button("jump", label);
      jump.dataset.jump = id;
      place.append(" ", jump);
    });
  }

  const done = make("div", "");
  done.id = "done";
  done.setAttribute("role", "status");
  function tellDone() {
    if (done.dataset.text === (said.done || "")) return;
    done.dataset.text = said.done || "";
    done.replaceChildren();
    if (said.done) done.append(make("span", "", said.done), button("undo", "Undo", () => L.ask?.fix({ undo: true })));
  }

  function dressAll() {
    document.querySelectorAll(".field[id^=f-]").forEach(dress);
    document.querySelectorAll(".group").forEach(head);
    blocked();
    tellDone();
    L.showDense();
    L.drawCaptions?.(said.captions);
    L.drawBlocks?.(said.blocks);
    L.drawRules?.(said.rules);
    look();
  }

  /* Takes what the server says; returns how many edits it knows of. An answer that comes after one to a later edit is not
     taken: what came beside it is asked for anew. */
  function live(json) {
    let told;
    try { told = JSON.parse(json || "{}"); } catch { return -1; }
    if (told.draft === said.draft && told.edits < said.edits) { L.anew?.(); return said.edits; }
    said = { ...said, ...told };
    dressAll();
    return said.edits;
  }

  function jump(id) {
    const field = at(id);
    if (!field) return;
    L.openTab("Train");
    if (field.classList.contains("unseen-field")) L.chooseTier(TIERS.find((name) => field.classList.contains(`tier-${name}`)));
    const group = field.closest(".group");
    if (group && group.classList.contains("folded")) fold(group, false);
    setTimeout(() => {
      look();
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      field.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
      field.classList.add("found");
      setTimeout(() => field.classList.remove("found"), 1800);
      inputOf(field)?.focus({ preventScroll: true });
    }, 60);
  }

  document.addEventListener("click", (event) => {
    const goal = event.target.closest?.("[data-jump], .fold, [data-change], [data-reset], [data-fold-all]");
    if (!goal) return;
    if (goal.dataset.jump) jump(goal.dataset.jump);
    else if (goal.dataset.change) L.ask?.fix({ change: JSON.parse(goal.dataset.change) });
    else if (goal.dataset.reset) L.ask?.fix({ reset: JSON.parse(goal.dataset.reset) });
    else if (goal.dataset.foldAll) foldAll(goal.dataset.foldAll === "1");
    else fold(goal.closest(".group"), !goal.closest(".group").classList.contains("folded"));
  });
  document.addEventListener("input", (event) => {
    if (event.target.closest?.(".field")) at("result")?.classList.add("stale");
  });

  Object.assign(L, { live, look, jump, labelOf });

  /* Gradio draws its components when it likes: fields that come or are redrawn are dressed again. */
  let due = 0;
  const soon = () => { if (!due) due = requestAnimationFrame(() => { due = 0; dressAll(); }); };
  L.redress = soon;
  const OURS = ".note, .help, .unseen, .tip, .table-row, .blocks, .reset, .marks, .holds, #done, #captions-choice, #search-hits";
  function begin() {
    document.body.append(done);
    new MutationObserver((changes) => {
      const outside = changes.some((change) => !change.target.closest?.(OURS) && [...change.addedNodes].some((node) =>
        node.nodeType === 1 && !node.matches(OURS)));
      if (outside) soon();
    }).observe(document.body, { childList: true, subtree: true });
    soon();
  }
  if (document.body) begin(); else document.addEventListener("DOMContentLoaded", begin);
})();
