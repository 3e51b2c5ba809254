/* The base model's field as a list: a combobox after the ARIA pattern (focus stays in the field, arrow keys move through
   the options, Enter chooses, Escape closes). Any other path can be typed or pasted. */
(() => {
  "use strict";
  const FIELD = "f-model-path", LIST = "model-options";
  const { make } = window.loratory;
  const own = (node) => { node.setAttribute("translate", "no"); return node; };
  const field = () => document.getElementById(FIELD);
  const input = () => field()?.querySelector("input, textarea");
  let server = null, toComputer = () => {}, known = { models: [], version: -1, busy: true, folders: 0 };
  let popup = null, options = [], active = -1, typed = false, asking = 0, said = {};

  const isOpen = () => Boolean(popup && popup.isConnected && !popup.hidden);

  /* ---- the list ---- */
  function open() {
    const host = field(), box = input();
    if (!host || !box) return;
    if (!popup || !popup.isConnected) {
      popup = make("div", "model-popup");
      popup.addEventListener("mousedown", (event) => event.preventDefault());
      popup.addEventListener("click", picked);
      (box.closest(".input-container") || box.parentElement).after(popup);
    }
    popup.hidden = false;
    box.setAttribute("aria-expanded", "true");
    draw();
    ask();
  }

  function close() {
    if (popup) popup.hidden = true;
    tell();
    const box = input();
    typed = false;
    active = -1;
    if (box) { box.setAttribute("aria-expanded", "false"); box.removeAttribute("aria-activedescendant"); }
  }

  async function ask() {
    clearTimeout(asking);
    if (!server) return;
    try {
      const told = await server.models_known(known.version);
      if (told.same) known.busy = told.busy; else known = told;
      if (isOpen() && !told.same) draw();
    } catch { return; }
    if (known.busy && isOpen()) asking = setTimeout(ask, 500);
  }

  function fitting() {
    const words = typed ? input().value.toLowerCase().split(/\s+/).filter(Boolean) : [];
    return known.models.filter((model) => {
      const text = `${model.name} ${model.path} ${model.about} ${model.place}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  function draw() {
    const before = options[active]?.dataset.path, value = input().value, shown = fitting();
    const list = make("div", "model-list");
    list.id = LIST;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Models on this computer");
    let group = null, place = null;
    shown.forEach((model, number) => {
      if (model.place !== place) {
        place = model.place;
        group = make("div", "model-group");
        const heading = own(make("div", "model-place", place));
        heading.setAttribute("role", "presentation");
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", place);
        group.append(heading);
        list.append(group);
      }
      group.append(option(model, number, value));
    });
    popup.replaceChildren(list, foot(shown.length));
    options = [...list.querySelectorAll("[role=option]")];
    active = options.findIndex((node) => node.dataset.path === before);
    mark(active, false);
    if (before === undefined) list.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }

  function option(model, number, value) {
    const node = make("div", `model-option ${model.standing === "trained" ? "" : "model-off"}`);
    node.id = `model-option-${number}`;
    node.dataset.path = model.path;
    node.title = model.path;
    node.setAttribute("role", "option");
    node.setAttribute("aria-selected", String(model.path === value));
    if (model.standing !== "trained") node.setAttribute("aria-disabled", "true");
    node.append(own(make("span", "model-name", model.name)), " ", own(make("span", "model-about", model.about)));
    return node;
  }

  function foot(count) {
    const node = make("div", "model-foot");
    const say = (text) => node.append(make("p", "", text));
    if (!count && typed) say("None of the known models fits. A path can be typed or pasted as it is.");
    if (known.busy) say("Still looking through the folders …");
    else if (!known.folders) say("Name the folder of ComfyUI, A1111 or Forge once, and its models are listed here.");
    if (known.others) say(`Not listed, since they are no base models (LoRAs, VAEs and the like): ${known.others}`);
    if (known.cut) say("A folder holds more files than are looked at: name the one with the checkpoints.");
    const button = make("button", "model-more", "Model folders …");
    button.type = "button";
    button.tabIndex = -1;
    button.addEventListener("click", () => { close(); toComputer(); });
    node.append(button);
    return node;
  }

  function mark(number, scroll = true) {
    options.forEach((node, place) => node.classList.toggle("model-active", place === number));
    active = number;
    const box = input();
    if (number < 0 || !options[number]) { box.removeAttribute("aria-activedescendant"); return; }
    box.setAttribute("aria-activedescendant", options[number].id);
    if (scroll) options[number].scrollIntoView({ block: "nearest" });
  }

  function move(by) {
    if (!options.length) return;
    if (active < 0) {
      const chosen = options.findIndex((node) => node.getAttribute("aria-selected") === "true");
      mark(chosen >= 0 ? chosen : by > 0 ? 0 : options.length - 1);
    } else mark((active + by + options.length) % options.length);
  }

  function choose(node) {
    if (!node || node.getAttribute("aria-disabled") === "true") return;
    put(node.dataset.path);
    close();
  }

  function put(text) {
    const box = input();
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  }

  function picked(event) {
    const node = event.target.closest("[role=option]");
    if (node) choose(node);
  }

  /* ---- the field ---- */
  function dress() {
    const box = input();
    if (!box) return;
    box.title = box.value;
    if (box.getAttribute("role") === "combobox") return;
    box.setAttribute("role", "combobox");
    box.setAttribute("aria-label", "Base model");
    box.setAttribute("aria-autocomplete", "list");
    box.setAttribute("aria-haspopup", "listbox");
    box.setAttribute("aria-controls", LIST);
    box.setAttribute("aria-expanded", "false");
    box.setAttribute("autocomplete", "off");
    const button = make("button", "model-open", "▾");
    button.type = "button";
    button.tabIndex = -1;
    button.setAttribute("aria-label", "Show the models on this computer");
    button.addEventListener("mousedown", (event) => event.preventDefault());
    button.addEventListener("click", () => { box.focus(); if (isOpen()) close(); else open(); });
    const around = box.closest(".input-container") || box.parentElement;
    around.classList.add("model-around");
    if (!around.querySelector(".model-open")) around.append(button);
    box.addEventListener("click", () => { if (!isOpen()) open(); });
    box.addEventListener("blur", close);
    box.addEventListener("input", (event) => {
      box.title = box.value;
      if (!event.isTrusted) return;
      typed = true;
      if (isOpen()) { active = -1; draw(); } else open();
    });
    box.addEventListener("keydown", keys, true);
    tell();
  }

  function keys(event) {
    const arrow = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (arrow && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (!isOpen()) open(); else if (!event.altKey) move(arrow);
    } else if (event.key === "Enter" && isOpen()) {
      event.preventDefault();
      event.stopPropagation();
      if (options[active]) choose(options[active]); else close();
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  }

  /* Paths arrive with quotes from Windows' "Copy as path", as file:// addresses from some file managers. */
  function plain(text) {
    const bare = text.trim().replace(/^(["'])(.*)\1$/, "$2");
    if (!/^file:\/\//i.test(bare)) return bare;
    try {
      const path = decodeURIComponent(new URL(bare).pathname);
      return /^\/[A-Za-z]:\//.test(path) ? path.slice(1) : path;
    } catch { return bare; }
  }

  document.addEventListener("paste", (event) => {
    if (event.target !== input()) return;
    const given = event.clipboardData?.getData("text") || "", path = plain(given);
    if (!path || path === given) return;
    event.preventDefault();
    put(path);
  }, true);

  /* A file that is dropped comes without its path, and copying gigabytes through a browser is no way to give a model. */
  const holdsFile = (event) => [...(event.dataTransfer?.types || [])].includes("Files") && field()?.contains(event.target);
  document.addEventListener("dragover", (event) => { if (holdsFile(event)) event.preventDefault(); }, true);
  document.addEventListener("drop", async (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    event.stopPropagation();
    const file = event.dataTransfer.files[0];
    await ask();
    const same = known.models.filter((model) => model.name === file.name && model.standing === "trained");
    if (same.length === 1) { put(same[0].path); return; }
    says("bad", "A model is never uploaded: the browser would copy gigabytes and does not tell where the file lies. "
      + "Paste its path here, or name its folder in the Computer tab.");
  }, true);

  function says(kind, text) {
    const host = field();
    if (!host) return;
    let node = host.querySelector(":scope > .model-says");
    if (!node) {
      node = make("div");
      node.setAttribute("role", "status");
      host.append(node);
    }
    node.className = `note model-says ${kind}`;
    if (node.said !== text) { node.said = text; node.textContent = text; }  // what stands there may be translated
  }

  function modelSays(json) {
    try { said = JSON.parse(json || "{}"); } catch { return; }
    tell();
  }

  /* Said of another text than the one that stands there now, it is out of date. */
  function tell() {
    const box = input();
    if (box && said.path !== undefined && said.path === box.value) says(isOpen() ? "quiet" : said.kind, said.text);
  }

  /* Gradio draws its components when it likes: the field may come later than its list, and anew. */
  function modelList(given, openComputer) {
    server = given;
    toComputer = openComputer;
    let due = 0;
    const soon = () => { if (!due) due = requestAnimationFrame(() => { due = 0; dress(); }); };
    new MutationObserver(() => { if (input()?.getAttribute("role") !== "combobox") soon(); })
      .observe(document.body, { childList: true, subtree: true });
    soon();
  }

  Object.assign(window.loratory, { modelList, modelSays });
})();
