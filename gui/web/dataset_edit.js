/* The Dataset tab's editor: one caption and its tags, the picture as it is trained, and changes of many captions. */
(() => {
  "use strict";
  const studio = window.loratory.studio;
  const { ask, tried, make, one, all, state, listeners, DO } = studio;
  let image = null, before = "", mode = "trained", look = 1, looks = 1, tells = "", asking = 0, answered = null;
  const box = () => document.getElementById("studio-caption");
  const separator = () => state.list?.separator || ",";
  const joint = () => (/\s$/.test(separator()) ? separator() : `${separator()} `);
  const tagsOf = (text) => text.split("\n")[0].split(separator()).map((tag) => tag.trim()).filter(Boolean);
  const dirty = () => Boolean(image) && box().value !== before;

  /* ---- one caption ---- */
  function current(name) {
    const now = state.list?.images.find((each) => each.name === name) ?? null;
    const same = now && image && now.name === image.name;
    if (same && dirty()) { image = now; return; }
    const again = same && (now.caption ?? "") === before;
    image = now;
    if (!same) { look = 1; one(".studio-original").hidden = true; one(".studio-saved").textContent = ""; }
    before = image?.caption ?? "";
    one(".studio-name").textContent = image?.name ?? "";
    one(".studio-editor").hidden = !image;
    box().value = before;
    box().disabled = Boolean(image?.unread);
    typed();
    if (image && !again) picture();
  }
  function typed() {
    one("[data-do=save]").disabled = !dirty();
    if (dirty()) one(".studio-saved").textContent = "Not saved yet";
    chips();
  }
  async function save() {
    if (!dirty()) return;
    const name = image.name, text = box().value, was = before;
    before = text;
    const answer = await tried(ask("desk", "save", { name, caption: text, before: was || null }));
    if (!answer) { await studio.relist(); return; }
    const kept = state.list.images.find((each) => each.name === name);
    if (kept) { kept.caption = answer.caption; const node = studio.cardOf(name); if (node) studio.dress(node, kept); }
    if (image?.name === name) { before = answer.caption ?? ""; one(".studio-saved").textContent = "Saved"; one("[data-do=save]").disabled = !dirty(); picture(); }
    await studio.relist();
  }
  studio.leave = save;
  studio.again = () => picture();

  /* ---- tags as chips ---- */
  let drawing = false, drawn = "";
  function chips(focus = -1) {
    const list = one(".studio-chips"), tags = image ? tagsOf(box().value) : [], key = JSON.stringify(tags);
    const held = list.contains(document.activeElement) ? Number(document.activeElement.dataset.place) : -1;
    if (key === drawn && focus < 0) return;
    drawn = key;
    drawing = true;  // taking a focused chip away is no leaving of the editor
    list.replaceChildren(...tags.map((tag, place) => {
      const item = make("li"), chip = make("button", "chip", tag), off = make("button", "off", "×");
      chip.type = off.type = "button";
      chip.dataset.place = off.dataset.place = place;
      off.setAttribute("aria-label", `Remove ${tag}`);
      item.draggable = true;
      item.setAttribute("translate", "no");
      item.dataset.place = place;
      item.append(chip, off);
      return item;
    }));
    drawing = false;
    const to = focus >= 0 ? focus : held;
    if (to >= 0) (list.querySelectorAll(".chip")[Math.min(to, tags.length - 1)] ?? box()).focus();
  }
  function put(tags, focus) {
    const [, ...rest] = box().value.split("\n");
    box().value = [tags.join(joint()), ...rest].join("\n");
    typed();
    if (focus >= 0) chips(focus);
  }
  function moved(from, to) {
    const tags = tagsOf(box().value);
    if (from < 0 || to < 0 || to >= tags.length) return;
    tags.splice(to, 0, ...tags.splice(from, 1));
    put(tags, to);
  }
  const removed = (place) => put(tagsOf(box().value).filter((_, at) => at !== place), place);

  function wireChips() {
    const list = one(".studio-chips");
    let dragged = -1;
    list.addEventListener("click", (event) => { if (event.target.classList.contains("off")) removed(Number(event.target.dataset.place)); });
    list.addEventListener("keydown", (event) => {
      if (!event.target.classList.contains("chip")) return;
      const place = Number(event.target.dataset.place), by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && event.altKey) { event.preventDefault(); moved(place, place + by); }
      else if (by) { event.preventDefault(); list.querySelectorAll(".chip")[place + by]?.focus(); }
      else if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); removed(place); }
    });
    list.addEventListener("dragstart", (event) => { dragged = Number(event.target.closest("li")?.dataset.place ?? -1); event.dataTransfer.effectAllowed = "move"; event.dataTransfer.setData("text/plain", ""); });
    list.addEventListener("dragover", (event) => {
      if (dragged < 0) return;
      event.preventDefault();
      all(".studio-chips li").forEach((item) => item.classList.toggle("over", item === event.target.closest("li")));
    });
    list.addEventListener("drop", (event) => {
      const to = event.target.closest("li");
      event.preventDefault();
      if (to && dragged >= 0) moved(dragged, Number(to.dataset.place));
      dragged = -1;
    });
    list.addEventListener("dragend", () => { dragged = -1; all(".studio-chips li").forEach((item) => item.classList.remove("over")); });
    document.querySelector("#studio-main [data-form=chip]").addEventListener("submit", (event) => {
      event.preventDefault();
      const input = one(".chip-new"), tag = input.value.trim();
      if (tag) put([...tagsOf(box().value), tag], -1);
      input.value = "";
      input.focus();
    });
  }

  /* ---- the picture ---- */
  let due = 0;
  function picture() {
    clearTimeout(due);
    due = setTimeout(draw, 120);
  }
  async function draw() {
    if (!image) return;
    const name = image.name, mine = (asking += 1), figure = one(".studio-picture");
    figure.classList.add("waiting");
    one(".studio-looks").hidden = mode !== "trained";
    if (mode !== "trained") one(".studio-mask").hidden = true;
    const answer = await ask("looks", mode === "trained" ? "look" : "whole", { name, look }).catch((error) => ({ wrong: error.message }));
    if (mine !== asking) return;
    figure.classList.remove("waiting");
    const shown = figure.querySelector("img");
    answered = answer;
    if (answer.wrong) {
      shown.removeAttribute("src");
      one(".studio-mask").hidden = true;
      facts([["Not shown", answer.wrong]]);
      return;
    }
    one(".studio-mask").hidden = !answer.masked;
    expose();
    shown.alt = mode === "trained" ? `${name} as it is trained` : name;
    if (mode === "trained") trained(answer); else facts([["Size", image.size.replace("x", " × ")]]);
  }
  function expose() {
    const masked = answered?.masked && one(".studio-mask input").checked;
    if (answered?.picture) one(".studio-picture img").src = masked ? answered.masked : answered.picture;
  }
  function trained(told) {
    look = told.look; looks = told.looks;
    one(".look-number").value = look;
    one(".look-number").max = Math.max(looks, 1);
    one(".look-of").textContent = `of ${looks}`;
    one("[data-do=look-back]").disabled = look <= 1;
    one("[data-do=look-on]").disabled = look >= looks;
    const times = (text) => text.replace("x", " × ");
    const rows = [];
    if (!told.step) rows.push(["Held out", "Measured like this each time, never trained on."]);
    else if (!looks) rows.push(["Not shown", "The run ends before this image is shown."]);
    else rows.push(["Shown in", `epoch ${told.epoch}, step ${told.step}`]);
    rows.push(["Resized", `${times(told.size)} → ${times(told.resized)}${told.enlarged ? " (enlarged)" : ""}`]);
    rows.push(["Bucket", times(told.bucket)]);
    rows.push(["Cropped", told.cut[0] || told.cut[1] ? `${told.cut[0]} px across, ${told.cut[1]} px down, from ${told.crop[0]}, ${told.crop[1]}` : "nothing"]);
    if (told.flip) rows.push(["Flipped", "mirrored"]);
    if (told.rotate) rows.push(["Rotated", `${told.rotate}°`]);
    if (told.jitter.some((factor) => factor !== 1)) rows.push(["Colours", `brightness × ${told.jitter[0]}, contrast × ${told.jitter[1]}, saturation × ${told.jitter[2]}`]);
    if (told.masks) rows.push(["Mask", told.masked ? `${told.counts} % of the picture counts` : "none: the whole picture counts"]);
    if (told.regularisation) rows.push(["Regularisation", `so that the class is not forgotten; its loss counts × ${told.weight}`]);
    facts(rows);
    const list = one(".studio-facts"), text = make("dd", "", told.caption || "(empty)");
    text.setAttribute("translate", told.caption ? "no" : "yes");
    list.append(make("dt", "", "Caption"), text);
    if (!told.own) list.append(make("dt", "", "Settings"), make("dd", "", "This folder is not in the form: shown with the form's settings as if it were the only one."));
  }
  const facts = (rows) => one(".studio-facts").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));

  /* ---- many captions ---- */
  const deed = () => one(".bulk-deed").value;
  async function targets() {
    if (one(".bulk-where").value === "selected") return [...state.selected];
    const views = Object.fromEntries(all("#studio-main [data-view]").map((input) => [input.dataset.view, input.value]));
    return (await ask("desk", "names", { ...views, tags: state.tags })).names;
  }
  const bulk = async () => ({ deed: deed(), what: one(".bulk-what input").value, by: one(".bulk-by input").value, names: await targets() });
  function fields() {
    one(".bulk-what").hidden = ["sort", "doubles"].includes(deed());
    one(".bulk-by").hidden = !["replace_tag", "replace_text"].includes(deed());
    stale();
  }
  function stale() {
    one("[data-do=apply]").hidden = true;
    one(".studio-would").replaceChildren();
    tells = "";
  }
  async function trial() {
    await save();
    const area = one(".studio-would");
    try {
      const fields = await bulk(), answer = await ask("desk", "deed", { ...fields, dry: true });
      tells = JSON.stringify(fields);
      area.replaceChildren(make("p", "", fields.names.length ? `Would change ${answer.would} of ${answer.of} captions.` : "No image is selected."));
      one("[data-do=apply]").hidden = !answer.would;
      const list = make("dl");
      list.setAttribute("translate", "no");
      answer.examples.forEach((each) => {
        const row = make("dd"), after = make("dd");
        row.append(make("del", "", each.before || "–"));
        after.append(make("ins", "", each.after || "–"));
        list.append(make("dt", "", each.name), row, after);
      });
      area.append(list);
      if (answer.would > answer.examples.length) area.append(make("p", "quiet", `and ${answer.would - answer.examples.length} more`));
    } catch (error) { area.replaceChildren(make("p", "bad", error.message)); }
  }
  async function apply() {
    const fields = await bulk();
    if (JSON.stringify(fields) !== tells) { await trial(); return; }  // what is done is what was shown
    const answer = await tried(ask("desk", "deed", fields));
    stale();
    await studio.relist();
    if (answer) one(".studio-would").replaceChildren(make("p", "good", `Changed ${answer.files} caption files.`));
  }
  async function undo() {
    await save();
    const answer = await tried(ask("desk", "undo"));
    stale();
    await studio.relist();
    if (answer) one(".studio-would").replaceChildren(make("p", "good", answer.files ? `Took back ${answer.files} caption files.` : "Nothing was left to take back."));
  }
  async function original() {
    const area = one(".studio-original");
    if (!area.hidden || !image) { area.hidden = true; return; }
    const answer = await tried(ask("desk", "original", { name: image.name }));
    if (!answer || answer.name !== image?.name) return;
    area.hidden = false;
    area.querySelector("p").textContent = !answer.known ? "This caption was never changed here."
      : answer.original === null ? "There was no caption file before it was first changed here." : "Before it was first changed here:";
    area.querySelector("blockquote").hidden = !answer.known || answer.original === null;
    area.querySelector("blockquote").textContent = answer.original ?? "";
    area.querySelector("button").hidden = !answer.known || answer.original === null;
  }

  Object.assign(DO, {
    save, try: trial, apply, undo, original,
    "take-original": () => { box().value = one(".studio-original blockquote").textContent; typed(); },
    "look-back": () => { look = Math.max(1, look - 1); picture(); },
    "look-on": () => { look += 1; picture(); },
  });
  listeners.current.push(current);
  listeners.selected.push(stale);
  listeners.listed.push((list) => {
    one("[data-do=undo]").disabled = !list.undo;
    one(".studio-undo").textContent = list.undo ? `Undo takes back: ${list.undo}` : "";
    if (tells && one("[data-do=apply]").hidden === false) stale();
  });

  studio.wireEditor = () => {
    box().addEventListener("input", typed);
    one(".studio-editor").addEventListener("focusout", (event) => { if (!drawing && !one(".studio-editor").contains(event.relatedTarget)) save(); });
    document.addEventListener("visibilitychange", () => { if (document.hidden) save(); });
    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s" && one(".studio-editor").offsetParent) { event.preventDefault(); save(); }
    });
    window.addEventListener("beforeunload", (event) => { if (dirty()) { save(); event.preventDefault(); } });
    one(".studio-mask input").addEventListener("change", expose);
    one(".look-number").addEventListener("change", (event) => { look = Math.max(1, Number(event.target.value) || 1); picture(); });
    one(".studio-modes").addEventListener("click", (event) => {
      const button = event.target.closest("[data-mode]");
      if (!button) return;
      mode = button.dataset.mode;
      all("#studio-main [data-mode]").forEach((each) => each.setAttribute("aria-pressed", each === button));
      picture();
    });
    one(".bulk-deed").addEventListener("change", fields);
    one(".bulk-where").addEventListener("change", stale);
    all(".studio-bulk input[type=text]").forEach((input) => input.addEventListener("input", stale));
    wireChips();
    fields();
  };
})();
