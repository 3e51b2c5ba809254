/* The presets: filtering the gallery, and taking in dropped files or a folder of them. A file stays in the browser: of
   settings the text is read, of a LoRA the header alone, whatever its size. */
(() => {
  "use strict";
  const LARGEST_TEXT = 1e6, LARGEST_HEADER = 1e8, LARGEST_METADATA = 8e6, MOST_FILES = 500, LARGEST_TOGETHER = 2e7;
  const SETTINGS = /\.(toml|json|safetensors)$/i;

  async function read(file) {
    if (/\.safetensors$/i.test(file.name)) {
      const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
      if (!(length > 1 && length < LARGEST_HEADER)) throw new Error("it does not start like a safetensors file");
      const header = JSON.parse(await file.slice(8, 8 + length).text());
      const text = JSON.stringify(header.__metadata__ || {});
      if (text.length > LARGEST_METADATA) throw new Error("its metadata is too long");
      return { name: file.name, kind: "metadata", text };
    }
    if (file.size > LARGEST_TEXT) throw new Error("it is too large for a preset");
    const kind = /\.json$/i.test(file.name) ? "json" : "toml";
    return { name: file.name, kind, text: new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()) };
  }

  /* Each file in the form in which it is sent; what cannot be read is sent as that. */
  async function readAny(file, path) {
    try {
      return { ...(await read(file)), name: path || file.name };
    } catch (error) {
      return { name: path || file.name, kind: "broken", text: String(error.message || error) };
    }
  }

  /* The files of a dropped folder and of those in it, with their path. */
  async function filesOf(entry, depth = 0) {
    if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))].map((file) => [file, entry.fullPath.replace(/^\//, "")]);
    if (depth > 1) return [];
    const reader = entry.createReader(), found = [];
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) break;
      for (const each of some) found.push(...(await filesOf(each, depth + 1)));
    }
    return found;
  }

  /* On a narrow screen what is dropped and offered stands before the gallery, not below all of its cards: in the
     document itself, so that the keys go through both in the order in which they are seen. */
  const narrow = matchMedia("(max-width: 640px)");
  function order() {
    const gallery = document.querySelector("#presets > :has(#shelf)"), offer = document.querySelector("#presets > :has(#preset-said)");
    if (!gallery || !offer) return;
    const first = Boolean(offer.compareDocumentPosition(gallery) & Node.DOCUMENT_POSITION_FOLLOWING);
    if (first !== narrow.matches) gallery[narrow.matches ? "before" : "after"](offer);
  }
  narrow.addEventListener("change", order);

  function presetDrop(element, trigger) {
    order();
    const zone = element.querySelector(".drop"), input = element.querySelector("input[type=file]");
    const take = async (files) => {
      if (files.length === 1) trigger("drop", await readAny(files[0][0]));
      else if (files.length) await takeAll(files);
      input.value = "";
    };
    async function takeAll(files) {
      const fit = files.filter(([file]) => SETTINGS.test(file.name)).slice(0, MOST_FILES), sent = [];
      let together = 0;
      for (const [file, path] of fit) {
        const one = await readAny(file, path);
        together += one.text.length;
        sent.push(together > LARGEST_TOGETHER ? { name: one.name, kind: "broken", text: "too much at once: drop fewer files" } : one);
      }
      trigger("drop", { name: "files", kind: "files", files: sent });
    }
    const named = (files) => [...files].map((file) => [file, file.webkitRelativePath || file.name]);
    input.addEventListener("change", () => take(named(input.files)));
    element.querySelector(".drop-folder").addEventListener("click", () => {
      const folder = document.createElement("input");
      folder.type = "file";
      folder.webkitdirectory = true;
      folder.addEventListener("change", () => takeAll(named(folder.files)));
      folder.click();
    });
    zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      if (!entries.some((entry) => entry.isDirectory)) { take(named(event.dataTransfer.files)); return; }
      Promise.all(entries.map((entry) => filesOf(entry))).then((found) => takeAll(found.flat()));
    });
  }

  /* What a card's button brings stands beside the gallery, on a narrow screen far below it: it is brought into sight. */
  let asked = false;
  function presetSaid(element, trigger) {
    const look = (section) => {
      const fate = section.querySelector("[data-fate][aria-pressed=true]")?.dataset.fate || "all";
      const words = section.querySelector("input[type=search]").value.toLowerCase();
      section.querySelectorAll("tbody tr").forEach((row) => {
        row.hidden = !((fate === "all" || row.dataset.fate === fate) && row.textContent.toLowerCase().includes(words));
      });
    };
    element.addEventListener("input", (event) => { if (event.target.closest(".fates")) look(event.target.closest(".fates")); });
    element.addEventListener("click", (event) => {
      const filter = event.target.closest(".fate-filters button"), file = event.target.closest("[data-file]");
      if (filter) {
        filter.parentElement.querySelectorAll("button").forEach((each) => each.setAttribute("aria-pressed", String(each === filter)));
        look(filter.closest(".fates"));
      }
      if (file) trigger("pick", { file: Number(file.dataset.file) });
    });
    new MutationObserver(() => {
      if (!asked) return;
      asked = false;
      const top = element.getBoundingClientRect().top, calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (top < 0 || top > innerHeight - 120) {
        (element.closest(".sheet") || element).scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
      }
    }).observe(element, { childList: true, subtree: true });
  }

  function shelf(element, trigger) {
    order();
    let words = "", known = element.querySelector(".shelf-search");
    const chosen = {};   // what the list is narrowed by: base, what, memory
    const narrowed = ({ base, what, memory }) => (!chosen.base || base === chosen.base) && (!chosen.what || what === chosen.what)
      && (!chosen.memory || (Number(memory) > 0 && Number(memory) <= Number(chosen.memory)));
    const filter = () => {
      const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
      let seen = 0;
      element.querySelectorAll("article").forEach((card) => {
        const fits = narrowed(card.dataset) && wanted.every((word) => card.textContent.toLowerCase().includes(word));
        card.hidden = !fits;
        seen += fits ? 1 : 0;
      });
      element.querySelectorAll("h3").forEach((head) => {
        head.hidden = Boolean(head.nextElementSibling?.matches(".cards")) && !head.nextElementSibling.querySelector("article:not([hidden])");
      });
      element.querySelectorAll(".chip").forEach((chip) => {
        chip.setAttribute("aria-pressed", String(chosen[chip.dataset.chip] === chip.dataset.value));
      });
      const none = element.querySelector(".none-fits");
      if (none) none.hidden = seen > 0;
    };
    element.addEventListener("input", (event) => {
      if (event.target.matches(".shelf-search")) { words = event.target.value; filter(); }
    });
    element.addEventListener("click", (event) => {
      const chip = event.target.closest(".chip");
      if (chip) {
        const { chip: kind, value } = chip.dataset;
        chosen[kind] = chosen[kind] === value ? "" : value;
        filter();
        return;
      }
      const button = event.target.closest("button[data-preset]");
      if (!button || window.loratory.again(event)) return;
      asked = true;
      trigger("click", { preset: button.dataset.preset, what: button.dataset.what || "load" });
    });
    new MutationObserver(() => {
      const box = element.querySelector(".shelf-search");
      if (!box || box === known) return;   // drawn anew: what was chosen stays chosen
      known = box;
      box.value = words;
      filter();
    }).observe(element, { childList: true, subtree: true });
  }

  Object.assign(window.loratory, { presetDrop, presetSaid, shelf });
})();
