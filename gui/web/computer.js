/* The form of the Computer tab. Each path is looked at while it is typed and saved when the field is left; every call
   names one setting. All text enters by textContent. */
(() => {
  "use strict";
  const { make } = window.loratory;

  function computer(element, server) {
    const form = element.querySelector(".computer-form") || element;
    let open = true, numbers = 0;

    const button = (text, act, cls = "small") => {
      const node = make("button", cls, text);
      node.type = "button";
      node.addEventListener("click", act);
      return node;
    };

    function tell(line, ok, text, saved = false) {
      const note = line.querySelector(".computer-note");
      note.textContent = text ? (ok ? text : `${text[0].toUpperCase()}${text.slice(1)}`) : "";
      note.classList.toggle("bad", !ok);
      note.setAttribute("translate", "no");
      line.querySelector("input").setAttribute("aria-invalid", String(!ok));
      line.querySelector(".computer-saved").textContent = saved ? "saved" : "";
    }

    async function check(row, line) {
      const input = line.querySelector("input"), text = input.value;
      if (!text.trim()) { tell(line, true, ""); return; }
      const said = await server.computer_check({ name: row.name, text });
      if (input.value === text) tell(line, said.ok, said.text);
    }

    const lines = (block) => [...block.querySelectorAll(".computer-line")];

    async function save(row, block, line) {
      const values = lines(block).map((each) => each.querySelector("input").value).filter((text) => text.trim());
      const said = await server.computer_save({ name: row.name, values });
      if (line && !said.ok) { tell(line, false, said.text); return; }
      if (!line) return;
      const text = line.querySelector("input").value;
      const found = text.trim() ? await server.computer_check({ name: row.name, text }) : { ok: true, text: "" };
      tell(line, found.ok, found.text, true);
    }

    function lineOf(row, block, value, label) {
      const line = make("div", "computer-line"), input = make("input");
      numbers += 1;
      input.id = `computer-${row.name}-${numbers}`;
      input.type = "text";
      input.spellcheck = false;
      input.autocomplete = "off";
      input.value = value;
      input.readOnly = !open;
      input.setAttribute("aria-label", label);
      const note = make("div", "computer-note");
      note.id = `${input.id}-note`;
      note.setAttribute("role", "status");
      input.setAttribute("aria-describedby", note.id);
      let due = 0, kept = value;
      input.addEventListener("input", () => { clearTimeout(due); due = setTimeout(() => check(row, line), 300); });
      input.addEventListener("change", () => {
        clearTimeout(due);
        if (input.value === kept) return;
        kept = input.value;
        save(row, block, line);
      });
      input.addEventListener("keydown", (event) => { if (event.key === "Enter") input.blur(); });
      const field = make("div", "computer-field");
      field.append(input);
      if (row.kind === "folders" && open) {
        const away = button("×", () => { const stood = kept; line.remove(); if (stood.trim()) save(row, block, null); }, "computer-away");
        away.title = "Remove this row; the folder itself is not touched";
        away.setAttribute("aria-label", away.title);
        field.append(away);
      }
      const saved = make("span", "computer-saved");
      saved.setAttribute("role", "status");
      field.append(saved);
      line.append(field, note);
      return line;
    }

    function block(row, value) {
      const node = make("section", `computer-block computer-${row.name}`), heading = make("h3", "", row.label);
      heading.id = `computer-heading-${row.name}`;
      node.setAttribute("aria-labelledby", heading.id);
      node.append(heading, make("p", "quiet", row.help));
      if (row.later) node.append(make("p", "quiet", row.later));
      const values = row.kind === "folders" ? value : [value];
      values.forEach((text) => node.append(lineOf(row, node, text, row.label)));
      if (row.kind === "folders" && open) {
        const more = button("+ another folder", () => {
          const line = lineOf(row, node, "", row.label);
          more.before(line);
          line.querySelector("input").focus();
        }, "more");
        node.append(more);
      } else if (row.kind === "folders" && !values.length) node.append(make("p", "quiet", "None are named."));
      lines(node).forEach((line) => check(row, line));
      return node;
    }

    function suggest(node, row, suggestions) {
      suggestions.forEach((found) => {
        const box = make("div", "computer-suggestion");
        const words = make("span", "", "Found on this computer:"), place = make("code", "", found.path);
        place.setAttribute("translate", "no");
        const name = make("strong", "", found.kind);
        name.setAttribute("translate", "no");
        const take = button("Add", async () => {
          const line = lineOf(row, node, found.path, row.label);
          box.replaceWith(line);
          await save(row, node, line);
        });
        take.setAttribute("aria-label", `Add ${found.path}`);
        box.append(words, " ", name, " ", place, take);
        node.querySelector(".more").before(box);
      });
    }

    function cacheLine(node) {
      const line = make("div", "computer-size"), now = make("span", "", ""), said = make("span", "computer-note");
      said.setAttribute("role", "status");
      const draw = (answer) => {
        now.textContent = answer.now;
        said.textContent = answer.text;
        said.classList.toggle("bad", !answer.ok);
      };
      line.append(make("span", "quiet", "Now in it:"), " ", now);
      if (open) line.append(button("Empty the cache", async () => draw(await server.computer_cache(true))));
      line.append(said);
      node.append(line);
      server.computer_cache(false).then(draw);
    }

    /* Its Python is started to say what it has: on a click alone, and what is saved, not what is typed. */
    function engineLine(node) {
      const line = make("div", "computer-size"), said = make("div", "computer-engine");
      said.setAttribute("role", "status");
      said.setAttribute("translate", "no");
      if (!open) return;
      const ask = button("Check what is there", async () => {
        ask.disabled = true;
        said.textContent = "…";
        const answer = await server.computer_engine(null);
        said.classList.toggle("bad", !answer.ok);
        said.replaceChildren(...answer.text.split("\n").map((text) => make("p", "", text)));
        ask.disabled = false;
      });
      line.append(ask);
      node.append(line, said);
    }

    async function draw() {
      const state = await server.computer_state(null);
      open = state.open;
      const blocks = state.rows.map((row) => block(row, state.values[row.name]));
      form.replaceChildren(...blocks);
      state.rows.forEach((row, number) => {
        if (row.name === "models" && open) suggest(blocks[number], row, state.suggestions);
        if (row.name === "cache") cacheLine(blocks[number]);
        if (row.name === "sd_scripts_python") engineLine(blocks[number]);
      });
    }
    draw();
  }

  window.loratory.computer = computer;
})();
