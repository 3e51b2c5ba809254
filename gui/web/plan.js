/* The plan's unfolded rows, and the TOML editor: a text area over a coloured copy of its text, with line numbers and the
   faults below. What is typed goes to the server once the typing rests; what the form says is never put over a text that
   is being typed. All text enters by textContent. */
(() => {
  "use strict";
  const PAUSE_MS = 450;
  const { make, turn } = window.loratory;

  /* What the reader has opened stays open when the area is drawn anew. */
  function folds(element) {
    const open = new Set();
    element.addEventListener("toggle", (event) => {
      const key = event.target.dataset?.fold;
      if (key) open[event.target.open ? "add" : "delete"](key);
    }, true);
    new MutationObserver(() => {
      element.querySelectorAll("details[data-fold]").forEach((part) => {
        if (open.has(part.dataset.fold) && !part.open) part.open = true;
      });
    }).observe(element, { childList: true, subtree: true });
  }

  const KEY = /^(\s*)([A-Za-z_][\w-]*)(\s*=\s*)(.*)$/;
  function coloured(line) {
    if (/^\s*#/.test(line)) return [make("span", "c", line)];
    if (/^\s*\[/.test(line)) return [make("span", "s", line)];
    const found = KEY.exec(line);
    return found ? [found[1], make("span", "k", found[2]), found[3] + found[4]] : [line];
  }

  function tomlEditor(element, props, trigger, watch) {
    const box = make("div", "toml-box"), copy = make("pre", "toml"), area = make("textarea");
    const said = make("div", "toml-said"), list = make("ul", "toml-faults"), line = make("p", "quiet");
    const back = make("button", "toml-back", "Put back");
    area.spellcheck = false;
    area.wrap = "off";
    area.setAttribute("autocapitalize", "off");
    area.setAttribute("autocomplete", "off");
    area.setAttribute("aria-label", "The preset as TOML");
    area.setAttribute("aria-describedby", "toml-said");
    copy.setAttribute("aria-hidden", "true");
    box.setAttribute("translate", "no");
    said.id = "toml-said";
    said.setAttribute("role", "status");
    back.type = "button";
    back.hidden = true;
    box.append(copy, area);
    said.append(list, line, back);
    let pending = null, dirty = false, visit = 0, answered = 0, timer = 0, faults = [], lost = "";

    function colour() {
      const wrong = new Set(faults.map((fault) => fault.line));
      copy.replaceChildren(...area.value.split("\n").map((text, number) => {
        const row = make("span", wrong.has(number + 1) ? "l wrong" : "l");
        row.append(...coloured(text), "\n");
        return row;
      }));
      follow();
    }
    const follow = () => { copy.scrollTop = area.scrollTop; copy.scrollLeft = area.scrollLeft; };

    function show(text) {
      pending = null;
      if (text === area.value) return;
      if (faults.length && dirty) lost = area.value;
      const [top, left] = [area.scrollTop, area.scrollLeft];
      area.value = text;
      faults = [];
      dirty = false;
      colour();
      area.scrollTop = top;
      area.scrollLeft = left;
      follow();
      tell({ faults: [], changed: [], lost: Boolean(lost) });
    }

    function tell(news) {
      faults = news.faults || [];
      list.replaceChildren(...faults.map((fault) => {
        const row = make("li"), go = make("button", "jump", fault.line ? `line ${fault.line}` : "the text");
        go.type = "button";
        go.addEventListener("click", () => reach(fault.line));
        row.append(go, " ", make("span", "", fault.why));
        row.setAttribute("translate", "no");
        return row;
      }));
      area.setAttribute("aria-invalid", String(faults.length > 0));
      const changed = news.changed || [];
      line.textContent = faults.length ? "The form keeps its last good values."
        : news.lost ? "Your text had faults, and the form's text took its place."
          : changed.length ? `Changed in the form: ${changed.join(", ")}.` : "";
      back.textContent = news.lost ? "Show my text again" : "Put back";
      back.hidden = !(news.lost || news.back);
      colour();
    }

    function reach(number) {
      const lines = area.value.split("\n");
      const start = lines.slice(0, Math.max(0, number - 1)).reduce((sum, each) => sum + each.length + 1, 0);
      area.focus();
      area.setSelectionRange(start, start + (lines[number - 1] || "").length);
      area.scrollTop = Math.max(0, (number - 4) * (area.scrollHeight / Math.max(1, lines.length)));
    }

    function send() {
      clearTimeout(timer);
      timer = 0;
      trigger("edit", { text: area.value, visit, turn: turn() });
    }

    area.addEventListener("input", () => {
      dirty = true;
      colour();
      clearTimeout(timer);
      timer = setTimeout(send, PAUSE_MS);
    });
    area.addEventListener("scroll", follow, { passive: true });
    area.addEventListener("focus", () => { visit = turn(); });
    area.addEventListener("blur", () => {
      if (timer) send();
      if (!dirty && pending !== null) show(pending);
      else if (dirty && !faults.length) trigger("settle");
    });
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") area.blur();
    });
    back.addEventListener("click", () => {
      if (lost) {
        area.value = lost;
        lost = "";
        dirty = true;
        area.focus();
        send();
      } else {
        back.hidden = true;
        dirty = false;
        trigger("back");
      }
    });
    element.replaceChildren(box, said);
    show(String(props.value || ""));
    watch("value", () => {
      if (!element.contains(box)) element.replaceChildren(box, said);
      if (document.activeElement === area) pending = String(props.value || "");
      else show(String(props.value || ""));
    });
    window.loratory.tomlSaid = (json) => {
      let news;
      try { news = JSON.parse(json); } catch { return; }
      if (timer || news.turn < answered) return;   // typed on meanwhile: the next answer counts
      answered = news.turn || answered;
      lost = "";
      tell(news);
    };
  }

  Object.assign(window.loratory, { folds, tomlEditor });
})();
