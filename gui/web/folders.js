/* The rows of image folders: path, repeats and trigger word of each. */
(() => {
  "use strict";
  const { make } = window.loratory;

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

  Object.assign(window.loratory, { folderRows });
})();
