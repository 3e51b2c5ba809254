/* The Tools tab: which tool's form is shown, lists of known files, a glance at a chosen one, and clicks on results. */
(() => {
  "use strict";
  const make = (name, text) => { const made = document.createElement(name); made.textContent = text ?? ""; return made; };

  function fill(select, rows) {
    const first = select.options[0];
    select.replaceChildren(first);
    const groups = new Map();
    for (const row of rows) {
      if (!groups.has(row.group)) {
        const group = make("optgroup");
        group.label = row.group;
        groups.set(row.group, group);
        select.append(group);
      }
      const option = make("option", row.name);
      option.value = row.path;
      option.translate = false;
      groups.get(row.group).append(option);
    }
  }

  function facts(box, told, whole) {
    box.replaceChildren();
    if (told.wrong) { const said = make("p", told.wrong); said.className = "bad"; box.append(said); return; }
    if (!told.line) return;
    if (!whole) { const line = make("p", told.line); line.className = "good"; box.append(line); return; }
    const table = make("table");
    table.className = "plain";
    for (const [name, text] of told.facts) {
      const row = make("tr"), head = make("th", name), cell = make("td", text);
      head.scope = "row"; cell.translate = false;
      row.append(head, cell); table.append(row);
    }
    const fold = make("details"), list = make("dl");
    list.className = "tool-metadata"; list.translate = false;
    for (const [name, text] of told.metadata) list.append(make("dt", name), make("dd", text));
    fold.append(make("summary", "Metadata of the file"), list);
    box.append(table, ...(told.metadata.length ? [fold] : []));
  }

  function tools(element, trigger, server) {
    let asked = 0;
    const refresh = async () => {
      if (performance.now() - asked < 5000) return;
      asked = performance.now();
      const told = await server.tools_known(null);
      for (const select of element.querySelectorAll(".tool-known")) {
        if (document.activeElement === select) continue;
        fill(select, select.dataset.known === "model" ? told.models : told.adapters);
      }
    };
    const glance = async (input) => {
      const box = input.closest(".tool-field").querySelector(".tool-glance");
      if (!box) return;
      const wanted = input.value;
      const told = await server.tools_glance(wanted);
      if (input.value === wanted) facts(box, told, input.closest("section").dataset.tool === "inspect");
    };
    element.addEventListener("focusin", refresh);
    element.addEventListener("pointerenter", refresh);
    element.addEventListener("change", (event) => {
      const box = event.target;
      if (box.name === "tool") {
        for (const form of element.querySelectorAll(".tool-form")) form.hidden = form.dataset.tool !== box.value;
      } else if (box.classList.contains("tool-known") && box.value) {
        const field = box.parentElement.querySelector("[data-field]");
        if (field.tagName === "TEXTAREA") field.value = [...field.value.split("\n").filter((line) => line.trim()), box.value].join("\n");
        else field.value = box.value;
        box.value = "";
        glance(field);
      } else if (box.dataset.field) glance(box);
    });
    element.addEventListener("click", (event) => {
      const go = event.target.closest("button[data-run]");
      if (!go) return;
      const form = go.closest("section"), values = {};
      for (const field of form.querySelectorAll("[data-field]")) {
        values[field.dataset.field] = field.type === "checkbox" ? field.checked : field.value;
      }
      trigger("click", { tool: form.dataset.tool, values });
    });
  }

  function toolResult(element, trigger, tried) {
    const open = new Set();
    element.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-what]");
      if (!button || window.loratory.again(event)) return;
      const { what, sure } = button.dataset, data = { what, try: button.dataset.try };
      if (sure && !confirm(window.loratory.told(sure))) return;
      if (what === "try") tried(data); else trigger("click", data);
    });
    element.addEventListener("toggle", (event) => {
      const key = event.target.dataset?.fold;
      if (key) (event.target.open ? open.add(key) : open.delete(key));
    }, true);
    new MutationObserver(() => {
      for (const part of element.querySelectorAll("details[data-fold]")) if (open.has(part.dataset.fold) && !part.open) part.open = true;
    }).observe(element, { childList: true, subtree: true });
  }
  Object.assign(window.loratory, { tools, toolResult });
})();
