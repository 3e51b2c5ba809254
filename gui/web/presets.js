/* The presets: filtering the gallery, and taking in a dropped file. A file stays in the browser: of a preset its text is
   read, of a LoRA the header alone, whatever its size. */
(() => {
  "use strict";
  const LARGEST_TEXT = 1e6, LARGEST_HEADER = 1e8, LARGEST_METADATA = 8e6;

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
    return { name: file.name, kind: "toml", text: new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()) };
  }

  function presetDrop(element, trigger) {
    const zone = element.querySelector(".drop"), input = element.querySelector("input[type=file]");
    const take = async (file) => {
      if (!file) return;
      try {
        trigger("drop", await read(file));
      } catch (error) {
        trigger("drop", { name: file.name, kind: "broken", text: String(error.message || error) });
      }
      input.value = "";
    };
    input.addEventListener("change", () => take(input.files[0]));
    zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      take(event.dataTransfer.files[0]);
    });
  }

  /* What a card's button brings stands beside the gallery, on a narrow screen far below it: it is brought into sight. */
  let asked = false;
  function presetSaid(element) {
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
      element.querySelectorAll("h4").forEach((head) => {
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
      if (!button) return;
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
