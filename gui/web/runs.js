/* The Runs tab in the browser: areas that are brought up to date without redrawing what stays, the list of runs with
   its filters, the sections of a run, moving about in its charts, and two pictures laid over each other.
   HTML comes from the server, which escapes all that is not its own; everything else enters by textContent. */
(() => {
  "use strict";
  const { make, turn, again } = window.loratory;

  /* ---- areas ---- */
  const opened = new Set(), shut = new Set();
  document.addEventListener("toggle", (event) => {
    const key = event.target.dataset?.fold;
    if (!key) return;
    (event.target.open ? opened : shut).add(key);
    (event.target.open ? shut : opened).delete(key);
  }, true);

  function grow(node, html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    fresh.content.querySelectorAll("details[data-fold]").forEach((part) => {
      part.open = opened.has(part.dataset.fold) || (part.open && !shut.has(part.dataset.fold));
    });
    children(node, fresh.content);
  }

  function children(node, fresh) {
    const keyed = new Map([...node.children].filter((one) => one.dataset.key).map((one) => [one.dataset.key, one]));
    let at = node.firstChild;
    [...fresh.childNodes].forEach((next) => {
      const key = next.dataset?.key;
      const same = key ? keyed.get(key) : at && !at.dataset?.key ? at : null;
      if (!same || same.nodeName !== next.nodeName) { node.insertBefore(next, at); return; }
      if (same === at) at = at.nextSibling; else node.insertBefore(same, at);
      patch(same, next);
    });
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }

  function patch(node, next) {
    if (node.nodeType !== 1) { if (node.data !== next.data) node.data = next.data; return; }
    if (node.isEqualNode(next)) return;
    const keeps = node.nodeName === "DETAILS" ? "open" : "";
    [...node.attributes].forEach(({ name }) => { if (name !== keeps && !next.hasAttribute(name)) node.removeAttribute(name); });
    [...next.attributes].forEach(({ name, value }) => {
      if (name !== keeps && node.getAttribute(name) !== value) node.setAttribute(name, value);
    });
    children(node, next);
  }

  /* News that come in another order than they were told leave the page with something else than the server believes. */
  function inOrder(props, trigger, watch) {
    let last = 0;
    watch("value", () => {
      const number = parseInt(props.value, 10), next = number === last + 1;
      last = number;
      if (!next) trigger("anew");
    });
  }

  function area(element, props, trigger, watch) {
    grow(element, props.value || "");
    watch("value", () => grow(element, props.value || ""));
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button.copy");
    if (!button || navigator.clipboard) return; /* page.js does it where the browser allows */
    const box = make("textarea");
    box.value = button.dataset.copy;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });

  /* ---- the list of runs ---- */
  const KINDS = [
    ["", "Trainings, preflights"], ["training", "Trainings"], ["preflight", "Preflights"],
    ["captioning", "Captions"], ["generating", "Pictures"], ["*", "All kinds"],
  ];
  const STATES = ["", "running", "done", "paused", "stopped", "interrupted", "failed"];
  const SORTS = [["0", "Newest first"], ["2", "Lowest validation first"], ["1", "Longest first"], ["3", "Most steps first"], ["name", "By name"]];
  const HEADS = ["Run", "Loss", "Lowest validation", "Steps"];

  function choice(label, options) {
    const box = make("select");
    box.setAttribute("aria-label", label);
    options.forEach(([value, text]) => { const one = make("option", "", text); one.value = value; box.append(one); });
    return box;
  }

  function sparkline(points) {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    box.setAttribute("viewBox", "0 0 100 24");
    box.setAttribute("preserveAspectRatio", "none");
    box.setAttribute("aria-hidden", "true");
    box.classList.add("spark");
    if (points.length > 1) {
      const low = Math.min(...points), high = Math.max(...points), reach = high - low || 1;
      const line = document.createElementNS(box.namespaceURI, "polyline");
      line.setAttribute("points", points.map((y, i) =>
        `${(100 * i / (points.length - 1)).toFixed(1)},${(22 - 20 * (y - low) / reach).toFixed(1)}`).join(" "));
      box.append(line);
    }
    return box;
  }

  function rowOf(id, run, before) {
    const row = before || make("tr");
    row.dataset.run = id;
    const cells = [make("td", "who"), make("td", "number"), make("td", "number"), make("td", "number")];
    const pick = row.querySelector(".pick") || make("button", "pick");
    pick.type = "button";
    pick.textContent = run.name;
    pick.setAttribute("translate", "no");
    const state = make("span", `state ${run.state}`);
    state.append(make("i"), make("span", "", run.state));
    const under = make("span", "under");
    under.append(state, make("span", "when", run.when));
    if (before && before.firstChild) { /* the name keeps its place, and with it the keyboard's */
      cells[0] = before.firstChild;
      [...cells[0].childNodes].forEach((node) => { if (node !== pick) node.remove(); });
    } else cells[0].append(pick);
    if (run.kind !== "training") cells[0].append(make("span", "tag", run.kind));
    cells[0].append(under);
    cells[1].append(sparkline(run.spark), make("span", "under", run.loss));
    cells[2].append(make("span", "", run.lowest), make("span", "under", run.lowest_step));
    cells[3].append(make("span", "", run.steps), make("span", "under", run.took));
    while (row.childNodes.length > (before ? 1 : 0)) row.lastChild.remove();
    cells.forEach((cell) => { if (cell.parentNode !== row) row.append(cell); });
    return row;
  }

  function runList(element, props, trigger, watch) {
    const search = make("input"), kind = choice("Kind", KINDS), count = make("span", "count quiet");
    const state = choice("State", STATES.map((name) => [name, name || "All states"])), sort = choice("Order", SORTS);
    search.type = "search";
    search.placeholder = "Filter by name";
    search.setAttribute("aria-label", "Filter runs by name");
    count.setAttribute("role", "status");
    const bar = make("div", "filters");
    bar.append(search, kind, state, sort, count);
    const table = make("table", "runs"), body = make("tbody"), head = make("tr"), top = make("thead");
    HEADS.forEach((name, i) => { const cell = make("th", i ? "number" : "", name); cell.scope = "col"; head.append(cell); });
    top.append(head);
    table.append(top, body);
    const none = make("p", "quiet");
    const scroll = make("div", "scroll-runs");
    scroll.append(table, none);
    element.replaceChildren(bar, scroll);
    const runs = new Map(), rows = new Map();
    let order = [], chosen = "", seq = 0;

    const fits = (run) => (!search.value || run.name.toLowerCase().includes(search.value.trim().toLowerCase()))
      && (kind.value === "*" || (kind.value ? run.kind === kind.value : ["training", "preflight"].includes(run.kind)))
      && (!state.value || run.state === state.value || (state.value === "running" && run.state === "starting"));

    function sorted() {
      const found = order.filter((id) => runs.has(id));
      const by = (id) => runs.get(id).by[Number(sort.value)];
      if (sort.value === "name") return found.sort((a, b) => runs.get(a).name.localeCompare(runs.get(b).name));
      if (sort.value === "0") return found;
      const rising = sort.value === "2";
      return found.sort((a, b) => {
        const [one, two] = [by(a), by(b)];
        if (one === null || two === null) return (one === null) - (two === null);
        return rising ? one - two : two - one;
      });
    }

    function show() {
      const wanted = sorted().filter((id) => fits(runs.get(id)));
      let at = body.firstChild;
      wanted.forEach((id) => {
        const row = rows.get(id);
        row.classList.toggle("chosen", id === chosen);
        const pick = row.querySelector(".pick");
        if (id === chosen) pick.setAttribute("aria-current", "true"); else pick.removeAttribute("aria-current");
        if (row === at) at = at.nextSibling; else body.insertBefore(row, at);
      });
      while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
      table.hidden = !wanted.length;
      none.hidden = Boolean(wanted.length);
      const nothing = 'No runs yet. Fill in the Train tab and press "Start training".';
      const said = runs.size ? "No run fits." : nothing;
      if (none.textContent !== said) none.textContent = said;
      bar.hidden = !runs.size;
      count.textContent = `${wanted.length} of ${runs.size}`;
    }

    function take() {
      if (!props.value) { show(); return; }
      const told = JSON.parse(props.value);
      if (!told.whole && told.seq !== seq + 1) {
        if (told.seq !== seq) trigger("click", { again: true, shown: chosen });
        return;
      }
      seq = told.seq;
      order = told.order;
      chosen = told.chosen;
      Object.entries(told.rows).forEach(([id, run]) => { runs.set(id, run); rows.set(id, rowOf(id, run, rows.get(id))); });
      const there = new Set(order);
      [...runs.keys()].forEach((id) => { if (!there.has(id)) { runs.delete(id); rows.delete(id); } });
      show();
    }
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-run]");
      if (row) trigger("click", { run: row.dataset.run, turn: turn() });
    });
    [search, kind, state, sort].forEach((box) => box.addEventListener("input", show));
    take();
    watch("value", take);
  }

  function trash(element, trigger) {
    element.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button || again(event)) return;
      if (button.dataset.back) trigger("click", { back: button.dataset.back });
      const sure = "Delete everything in the trash for good?";
      if (button.dataset.empty && confirm(window.loratory.told(sure))) trigger("click", { empty: true });
    });
  }

  /* ---- the sections of a run ---- */
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#run-sections button[data-section]");
    if (!button) return;
    button.closest(".run-page").dataset.section = button.dataset.section;
    button.parentNode.querySelectorAll("button").forEach((one) => {
      if (one === button) one.setAttribute("aria-current", "true"); else one.removeAttribute("aria-current");
    });
  });

  /* ---- moving about in the charts ---- */
  const MOVES = {
    in: (low, width) => [low + width / 4, width / 2],
    out: (low, width) => [low - width / 2, width * 2],
    left: (low, width) => [low - width / 2, width],
    right: (low, width) => [low + width / 2, width],
  };

  function zoom(element, trigger) {
    const PATIENCE_MS = 2000;
    let asked = null;   // the window that was asked for just now, and the one that was shown then
    const at = () => {
      const { low, high, end } = element.querySelector(".zoom").dataset;
      const open = asked && Date.now() < asked.until && asked.over === `${low} ${high}`;
      const [from, to] = open ? asked.range : [Number(low), Number(high)];
      return [from, to - from, Number(end)];
    };
    const tell = (low, high) => {
      const shown = element.querySelector(".zoom").dataset, whole = low === undefined;
      const range = whole ? [0, Number(shown.end)] : [low, high];
      asked = { over: `${shown.low} ${shown.high}`, range, until: Date.now() + PATIENCE_MS };
      trigger("click", { ...(whole ? {} : { low, high }), turn: turn() });
    };
    const go = (low, width) => {
      const end = at()[2];
      const wide = Math.min(width, end), from = Math.max(0, Math.min(low, end - wide));
      if (wide >= end) tell(); else if (wide >= 1) tell(from, from + wide);
    };
    element.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-zoom]");
      if (!button) return;
      if (button.dataset.zoom === "all") tell();
      else { const [low, width] = at(); go(...MOVES[button.dataset.zoom](low, width)); }
    });
    element.addEventListener("dblclick", (event) => { if (event.target.closest(".plot")) tell(); });
    let start = null;
    const stepAt = (plot, x) => {
      const box = plot.getBoundingClientRect(), share = Math.max(0, Math.min(1, (x - box.left) / box.width));
      return Number(plot.dataset.low) + share * (Number(plot.dataset.high) - Number(plot.dataset.low));
    };
    element.addEventListener("pointerdown", (event) => {
      const plot = event.target.closest(".plot[data-high]");
      if (plot && event.button === 0) start = { plot, x: event.clientX, band: null };
    });
    document.addEventListener("pointermove", (event) => {
      if (!start || Math.abs(event.clientX - start.x) < 5) return;
      const box = start.plot.getBoundingClientRect();
      start.band = start.band || document.body.appendChild(make("div", "zoom-band"));
      const from = Math.max(box.left, Math.min(event.clientX, start.x));
      const to = Math.min(box.right, Math.max(event.clientX, start.x));
      Object.assign(start.band.style, { left: `${from}px`, width: `${to - from}px`, top: `${box.top}px`, height: `${box.height}px` });
    });
    const end = (event) => {
      if (!start) return;
      const { plot, x, band } = start;
      start = null;
      if (!band) return;
      band.remove();
      if (event.type !== "pointerup") return;
      const [one, two] = [stepAt(plot, x), stepAt(plot, event.clientX)].sort((a, b) => a - b);
      if (two - one >= 1) tell(Math.max(0, one), two);
    };
    document.addEventListener("pointerup", end);
    document.addEventListener("pointercancel", end);
  }

  /* ---- two pictures over each other ---- */
  let viewer = null;

  function pictureOf(link) {
    return { url: link.href, name: link.dataset.when, prompt: link.dataset.prompt };
  }

  function makeViewer() {
    const box = make("dialog", "beside"), bar = make("div", "bar"), stage = make("div", "stage");
    box.setAttribute("aria-label", "Two pictures over each other");
    const sides = ["Left picture", "Right picture"].map((label) => {
      const pick = make("select"), image = make("img");
      pick.setAttribute("aria-label", label);
      return { pick, image };
    });
    const slider = make("input"), full = make("a", "", "Open in full"), close = make("button", "", "Close");
    slider.type = "range";
    slider.max = "100";
    slider.value = "50";
    slider.setAttribute("aria-label", "Where the two pictures meet");
    full.target = "_blank";
    full.rel = "noopener";
    close.type = "button";
    bar.append(sides[0].pick, sides[1].pick, full, close);
    stage.append(sides[0].image, sides[1].image, make("i"));
    const said = make("p", "prompt");
    said.setAttribute("translate", "no");
    box.append(bar, said, stage, slider);
    document.body.append(box);
    const meet = () => stage.style.setProperty("--meet", `${slider.value}%`);
    slider.addEventListener("input", meet);
    stage.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const frame = stage.getBoundingClientRect();
      slider.value = String(Math.max(0, Math.min(100, 100 * (event.clientX - frame.left) / frame.width)));
      meet();
    });
    stage.addEventListener("dragstart", (event) => event.preventDefault());
    close.addEventListener("click", () => box.close());
    box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
    const draw = () => sides.forEach(({ pick, image }, i) => {
      const one = viewer.pictures[Number(pick.value)];
      if (image.src !== one.url) image.src = one.url;
      image.alt = `${one.name}: ${one.prompt}`;
      if (i) { full.href = one.url; said.textContent = one.prompt; }
    });
    sides.forEach(({ pick }) => pick.addEventListener("input", draw));
    return { box, sides, slider, meet, draw, pictures: [] };
  }

  function openViewer(link) {
    viewer = viewer || makeViewer();
    const links = [...link.closest(".area").querySelectorAll("a[data-when]")];
    viewer.pictures = links.map(pictureOf);
    const groups = new Map();
    viewer.pictures.forEach((one, i) => groups.set(one.prompt, [...(groups.get(one.prompt) || []), i]));
    viewer.sides.forEach(({ pick }) => pick.replaceChildren(...[...groups].map(([prompt, numbers]) => {
      const group = make("optgroup");
      group.label = prompt;
      numbers.forEach((i) => { const one = make("option", "", viewer.pictures[i].name); one.value = String(i); group.append(one); });
      return group;
    })));
    const mine = links.indexOf(link), alike = groups.get(viewer.pictures[mine].prompt);
    const other = mine === alike[alike.length - 1] ? alike[0] : alike[alike.length - 1];
    viewer.sides[0].pick.value = String(other);
    viewer.sides[1].pick.value = String(mine);
    viewer.slider.value = "50";
    viewer.meet();
    viewer.draw();
    viewer.box.showModal();
    viewer.slider.focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-when]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openViewer(link);
  });

  Object.assign(window.loratory, { area, grow, inOrder, runList, trash, zoom });
})();
