/* Settings that are tables of rows: the image folders, the rules of layers. What is rarely needed stands in a second line of
   each row, which is seen from its tier on and wherever something is set in it. */
(() => {
  "use strict";
  const L = window.loratory;
  const { make } = L;

  const TABLES = {
    folders: {
      label: "Images",
      more: "+ another folder",
      away: "Remove this row; the folder itself is not touched",
      first: true,
      cells: [
        { name: "path", placeholder: "folder of pictures", title: "Folder" },
        { name: "repeats", placeholder: "repeats", title: "Repeats; empty: from the folder's name", numeric: true },
        { name: "trigger", placeholder: "own trigger word", title: "Trigger word of this folder; empty: the one below" },
      ],
      further: [
        { name: "regularisation", tick: "regularisation images", title: "Ordinary pictures of the same class, so that the model does not forget what it looks like; trained without the trigger word" },
        { name: "mask", placeholder: "folder of masks", title: "Masks with the images' names: white is learnt" },
        { name: "weight", placeholder: "weight 1", title: "How often its images are shown compared with those of others, where folders are balanced by weight", numeric: true },
      ],
    },
    rules: {
      label: "Layer rules",
      more: "+ a rule",
      away: "Remove this rule",
      cells: [
        { name: "match", placeholder: "part of a layer's name: attn2", title: "Layers: a regular expression that is searched in their names" },
        { name: "rank", placeholder: "rank", title: "Rank of these layers; 0 leaves them out, empty: as elsewhere", numeric: true },
        { name: "alpha", placeholder: "alpha", title: "Alpha of these layers; empty: the rank where the rule gives one, else as elsewhere", numeric: true },
        { name: "rate", placeholder: "rate x", title: "Factor on the learning rate of these layers; 0 leaves them out, empty: as elsewhere", numeric: true },
      ],
      further: [],
    },
  };

  function input(cell, value, send) {
    const node = make("input");
    node.name = cell.name;
    node.title = cell.title;
    if (cell.tick) {
      node.type = "checkbox";
      node.checked = value === true;
      const label = make("label", "tick");
      label.title = cell.title;
      label.append(node, make("span", "", cell.tick));
      node.addEventListener("input", send);
      return label;
    }
    node.placeholder = cell.placeholder;
    node.setAttribute("aria-label", cell.title);
    node.spellcheck = false;
    node.value = value || "";
    if (cell.numeric) node.inputMode = "decimal";
    node.addEventListener("input", send);
    return node;
  }

  function tableRows(kind, element, props, trigger, watch) {
    const table = TABLES[kind], cells = [...table.cells, ...table.further];
    let sent = null;
    const box = () => element.querySelector(".table-rows") || element;
    const list = make("div", "row-list"), label = make("span", "label-text", table.label), more = make("button", "more", table.more);
    const content = (node) => Object.fromEntries(cells.map(({ name, tick }) => {
      const cell = node.querySelector(`[name=${name}]`);
      return [name, tick ? cell.checked : cell.value];
    }));
    const isSet = (node) => table.further.some(({ name }) => { const value = content(node)[name]; return value && value !== "1"; });
    const send = () => {
      const rows = [...list.children].map(content);
      [...list.children].forEach((node) => node.classList.toggle("set", isSet(node)));
      sent = JSON.stringify(rows);
      props.value = rows;
      trigger("input");
    };
    const row = (values) => {
      const node = make("div", `table-row ${kind}-row`), away = make("button", "away", "×");
      node.append(...table.cells.map((cell) => input(cell, values[cell.name], send)));
      away.type = "button";
      away.title = table.away;
      away.setAttribute("aria-label", away.title);
      away.addEventListener("click", () => { node.remove(); if (table.first && !list.children.length) list.append(row({})); send(); });
      node.append(away);
      if (table.further.length) {
        const further = make("div", "row-further");
        further.append(...table.further.map((cell) => input(cell, values[cell.name], send)));
        node.append(further);
        node.classList.toggle("set", isSet(node));
      }
      if (kind === "rules") node.append(make("p", "note fits"));
      return node;
    };
    const draw = () => {
      const given = Array.isArray(props.value) ? props.value : [];
      list.replaceChildren(...(given.length || !table.first ? given : [{}]).map(row));
      L.redress?.();
    };
    more.type = "button";
    more.addEventListener("click", () => { list.append(row({})); list.lastElementChild.querySelector("input").focus(); });
    box().replaceChildren(label, list, more);
    draw();
    watch("value", () => {
      if (!element.contains(list)) box().replaceChildren(label, list, more);
      if (JSON.stringify(props.value) !== sent) draw();
    });
  }

  /* Under each rule, how many layers it fits: the server tells of the rules that say anything, in their order. */
  function drawRules(told) {
    const rows = [...document.querySelectorAll(".rules-row")];
    const filled = rows.filter((row) => [...row.querySelectorAll("input")].some((cell) => cell.value.trim()));
    rows.forEach((row) => {
      const place = row.querySelector(".fits"), said = (told || [])[filled.indexOf(row)], text = said?.text || "";
      if (place.textContent !== text) place.textContent = text;
      place.classList.toggle("wrong", Boolean(said?.bad));
    });
  }

  Object.assign(L, { tableRows, drawRules });
})();
