/* The Dataset tab: asking the server, the folder, the grid of images, what is selected. The editor and uploads are in files
   of their own. All that comes from a folder enters by textContent. */
(() => {
  "use strict";
  const PATIENCE_MS = 180000;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(`#studio-main ${selector}`) || document.querySelector(`#studio-opening ${selector}`);
  const { make } = window.loratory;
  const named = (name, says) => {  // a line about a file: its name is the user's, what is said of it is ours
    const line = make("li"), file = make("span", "", name);
    file.setAttribute("translate", "no");
    line.append(file, ": ", make("span", "", says));
    return line;
  };
  const lanes = {};
  const state = { list: null, page: 0, tags: [], selected: new Set(), current: "", anchor: "", stamps: new Set(), shown: "" };
  const listeners = { current: [], listed: [], selected: [] };
  const told = (kind, ...values) => listeners[kind].forEach((listener) => listener(...values));

  /* ---- asking: each lane has one message under way; an answer carries its message's number ---- */
  let last = 0;
  function lane(name, trigger, watch, props) {
    const mine = lanes[name] ??= { waiting: [], now: null };
    mine.send = (message) => trigger("click", message);
    watch("value", () => answered(mine, JSON.parse(props.value || "{}")));
    next(mine);
    begin();
  }
  function answered(mine, answer) {
    const now = mine.now;
    if (!now || answer.id !== now.message.id) return;
    clearTimeout(now.timer);
    mine.now = null;
    if (answer.stamp) state.stamps.add(answer.stamp);
    if (answer.problems) now.fail(new Error(answer.problems.join("\n")));
    else now.done(answer);
    next(mine);
  }
  function next(mine) {
    if (mine.now || !mine.send || !mine.waiting.length) return;
    mine.now = mine.waiting.shift();
    mine.now.timer = setTimeout(() => {
      const late = mine.now;
      mine.now = null;
      late.fail(new Error("The page's server did not answer."));
      next(mine);
    }, PATIENCE_MS);
    mine.send(mine.now.message);
  }
  function ask(name, what, fields = {}) {
    const mine = lanes[name] ??= { waiting: [], now: null };
    return new Promise((done, fail) => {
      last += 1;
      mine.waiting.push({ message: { ...fields, do: what, id: `${Date.now()}-${last}` }, done, fail });
      next(mine);
    });
  }

  function say(text, kind = "quiet") {
    const area = one(".studio-said");
    area.replaceChildren(...(text ? text.split("\n").map((line) => make("p", kind, line)) : []));
  }
  const tried = (promise) => promise.catch((error) => { say(error.message, "bad"); return null; });

  /* ---- the folder ---- */
  const view = () => ({
    ...Object.fromEntries(all("#studio-main [data-view]").map((input) => [input.dataset.view, input.value])),
    tags: state.tags, page: state.page,
  });
  async function relist(fields = {}) {
    if (!state.list && !fields.force) return;
    const answer = await tried(ask("desk", "list", { ...view(), ...fields }));
    if (answer) show(answer);
  }
  async function open(path) {
    say("Reading the folder …");
    await studio.leave();
    state.page = 0; state.tags = []; state.selected.clear(); state.current = "";
    all("#studio-main [data-view]").forEach((input) => { input.value = { filter: "all", sort: "name" }[input.dataset.view] ?? ""; });
    const answer = await tried(ask("desk", "open", { place: path }));
    if (!answer) return;
    say("");
    places(answer.places);
    show(answer);
  }
  function places(groups) {
    const area = one(".studio-places"), known = document.getElementById("studio-known");
    known.replaceChildren(...groups.flatMap((group) => group.folders).map((path) => Object.assign(make("option"), { value: path })));
    area.replaceChildren(...groups.filter((group) => group.folders.length).map((group) => {
      const row = make("div");
      row.append(make("h2", "", group.title), ...group.folders.slice(0, 12).map((path) => {
        const button = make("button", "", path.split(/[/\\]/).filter(Boolean).slice(-2).join("/"));
        button.type = "button"; button.title = path; button.dataset.open = path;
        button.setAttribute("translate", "no");
        return button;
      }));
      return row;
    }));
  }

  function show(list) {
    state.list = list; state.page = list.page;
    document.querySelector("#studio-main .studio").hidden = false;
    const box = document.getElementById("studio-path");
    if (document.activeElement !== box) box.value = list.folder;
    all("#studio-opening [data-open]").forEach((button) =>
      button.dataset.open === list.folder ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current"));
    one("[data-do=use]").hidden = list.own;
    one(".studio-own").hidden = !list.own;
    one(".studio-only").hidden = !list.title;
    one(".studio-only strong").textContent = list.title;
    one(".studio-count").textContent = list.matching === list.total ? `${list.total} images` : `${list.matching} of ${list.total} images`;
    one(".studio-nothing").hidden = list.matching > 0;
    one(".studio-pages").hidden = list.pages < 2;
    one(".studio-page").textContent = `Page ${list.page + 1} of ${list.pages}`;
    one("[data-do=page-back]").disabled = list.page === 0;
    one("[data-do=page-on]").disabled = list.page >= list.pages - 1;
    options(one("[data-view=bucket]"), list.buckets);
    notes(list);
    tags();
    grid();
    told("listed", list);
  }
  function options(select, buckets) {
    const now = select.value;
    select.replaceChildren(Object.assign(make("option", "", "all"), { value: "" }), ...buckets.map(([size, count]) => {
      const option = make("option", "", `${size.replace("x", " × ")} (${count})`);
      option.value = size;
      return option;
    }));
    select.value = now;
  }
  function notes(list) {
    const broken = one(".studio-broken");
    broken.hidden = !list.broken.length;
    broken.querySelector("summary").textContent = `Cannot be used: ${list.broken.length} files`;
    broken.querySelector("ul").replaceChildren(...list.broken.map((bad) => named(bad.name, bad.why)));
    one(".studio-notes").replaceChildren(...list.notes.map((note) => make("li", "", note)));
  }
  function tags() {
    const wanted = one(".tag-search").value.trim().toLowerCase();
    const rows = state.list.tags.filter(([tag]) => !wanted || tag.toLowerCase().includes(wanted));
    const chosen = state.tags.filter((tag) => !rows.some(([each]) => each === tag)).map((tag) => [tag, ""]);
    one(".studio-tags").replaceChildren(...[...chosen, ...rows].slice(0, 300).map(([tag, count]) => {
      const button = make("button");
      button.type = "button"; button.dataset.tag = tag;
      button.setAttribute("translate", "no");
      button.setAttribute("aria-pressed", state.tags.includes(tag));
      button.append(make("span", "", tag), make("span", "", String(count)));
      return button;
    }));
    document.getElementById("studio-tag-list").replaceChildren(
      ...state.list.tags.map(([tag]) => Object.assign(make("option"), { value: tag })));
  }

  /* ---- the grid ---- */
  const cards = () => all("#studio-main .studio-card");
  const cardOf = (name) => cards().find((card) => card.dataset.name === name);
  const names = () => state.list.images.map((image) => image.name);

  function grid() {
    const area = one(".studio-grid"), held = area.contains(document.activeElement);
    if (!names().includes(state.current)) state.current = names()[0] ?? "";
    area.replaceChildren(...state.list.images.map(card));
    marks();
    if (held) cardOf(state.current)?.focus({ preventScroll: true });
    told("current", state.current);
    pictures();
  }
  function card(image) {
    const node = make("div", "studio-card");
    node.dataset.name = image.name;
    node.setAttribute("role", "option");
    node.setAttribute("translate", "no");
    const frame = make("div", "frame"), mark = make("span", "mark");
    mark.setAttribute("aria-hidden", "true");
    frame.setAttribute("translate", "yes");
    node.append(frame, mark, make("div", "title", image.name), make("div", "sizes"), make("div", "says"));
    node.title = image.name;
    dress(node, image);
    return node;
  }
  function dress(node, image) {
    const frame = node.querySelector(".frame");
    if (image.faulty) frame.replaceChildren(make("span", "quiet", image.faulty));
    else if (image.url && frame.firstChild?.getAttribute?.("src") !== image.url) {
      const picture = make("img");
      picture.src = image.url; picture.alt = ""; picture.loading = "lazy"; picture.decoding = "async";
      frame.replaceChildren(picture);
    }
    node.querySelector(".sizes").textContent = `${image.size.replace("x", " × ")} → ${image.bucket.replace("x", " × ") || "–"}${image.enlarged ? " ↑" : ""}`;
    const says = node.querySelector(".says"), text = image.unread || (image.caption ?? "").trim();
    says.setAttribute("translate", image.caption?.trim() ? "no" : "yes");
    says.textContent = text || "no caption";
    says.classList.toggle("none", !text || Boolean(image.unread));
    const hint = image.enlarged ? `, enlarged` : "";
    node.setAttribute("aria-label", `${image.name}, ${image.size}, bucket ${image.bucket || "none"}${hint}: ${text || "no caption"}`);
  }
  function marks() {
    cards().forEach((card) => {
      const name = card.dataset.name;
      card.setAttribute("aria-selected", state.selected.has(name));
      card.classList.toggle("current", name === state.current);
      card.tabIndex = name === state.current ? 0 : -1;
    });
    one(".studio-chosen-count").textContent = state.selected.size ? `${state.selected.size} selected` : "";
  }
  let telling = 0;
  function selectionChanged() {
    marks();
    told("selected", state.selected);
    clearTimeout(telling);
    telling = setTimeout(() => tried(ask("desk", "select", { names: [...state.selected] })), 300);
  }
  async function pictures() {
    for (let turn = 0; turn < 200; turn += 1) {
      const list = state.list, missing = list.images.filter((image) => !image.url && !image.faulty);
      if (!missing.length) return;
      const answer = await tried(ask("pictures", "pictures", { names: missing.map((image) => image.name) }));
      if (!answer || list !== state.list) return;
      missing.forEach((image) => {
        Object.assign(image, answer.pictures[image.name] ?? { faulty: "gone" });
        const node = cardOf(image.name);
        if (node) dress(node, image);
      });
    }
  }
  async function choose(name, { extend = false, toggle = false, keep = false } = {}) {
    if (!name) return;
    if (name !== state.current) { await studio.leave(); }
    if (extend && state.anchor) {
      const order = names(), from = order.indexOf(state.anchor), to = order.indexOf(name);
      if (from >= 0) order.slice(Math.min(from, to), Math.max(from, to) + 1).forEach((each) => state.selected.add(each));
    } else if (toggle) {
      if (!state.selected.delete(name)) state.selected.add(name);
      state.anchor = name;
    } else if (!keep) {
      state.selected = new Set([name]); state.anchor = name;
    } else if (!state.anchor) state.anchor = state.current || name;
    const moved = name !== state.current;
    state.current = name;
    if (!keep || extend || toggle) selectionChanged(); else marks();
    if (moved) told("current", name);
  }
  async function turn(by) {
    const page = state.page + by;
    if (page < 0 || page >= state.list.pages) return;
    await studio.leave();
    state.page = page; state.current = ""; state.anchor = "";
    await relist();
    one(".studio-grid").scrollTop = 0;
  }
  async function step(by) {
    const order = names(), place = order.indexOf(state.current) + by;
    if (place >= 0 && place < order.length) await choose(order[place], { keep: true });
    else {
      const page = state.page;
      await turn(by);
      if (page !== state.page && by < 0) await choose(names()[names().length - 1], { keep: true });
    }
    cardOf(state.current)?.scrollIntoView({ block: "nearest" });
  }
  const across = () => {
    const [first, ...rest] = cards();
    if (!first) return 1;
    const place = rest.findIndex((card) => card.offsetTop > first.offsetTop);
    return place < 0 ? rest.length + 1 : place + 1;
  };
  async function keys(event) {
    const order = names(), place = order.indexOf(state.current);
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across(), ArrowDown: across(), Home: -place, End: order.length - 1 - place };
    if (event.key in moves) {
      const target = order[Math.max(0, Math.min(order.length - 1, place + moves[event.key]))];
      event.preventDefault();
      await choose(target, { extend: event.shiftKey, keep: true });
      cardOf(state.current)?.focus();
    } else if (event.key === " ") { event.preventDefault(); await choose(state.current, { toggle: true }); }
    else if (event.key === "Enter") { event.preventDefault(); document.getElementById("studio-caption").focus(); }
    else if (event.key === "PageDown" || event.key === "PageUp") { event.preventDefault(); await turn(event.key === "PageDown" ? 1 : -1); cardOf(state.current)?.focus(); }
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); await selectAll(); }
  }
  async function selectAll() {
    const answer = await tried(ask("desk", "names", view()));
    if (answer) { state.selected = new Set(answer.names); selectionChanged(); }
  }

  /* ---- what others have done ---- */
  function heard(text) {
    const news = JSON.parse(text || "{}");
    if (!started) return;
    if ("folder" in news && news.folder && news.folder !== state.list?.folder) tried(ask("desk", "list", { ...view(), page: 0 })).then((list) => { if (list) { state.selected.clear(); show(list); } });
    if ("shown" in news && (news.shown || state.list?.title)) { state.page = 0; relist(); }
    if ("changed" in news && news.changed && !state.stamps.has(news.changed)) relist({ anew: true });
  }

  const DO = {
    "page-back": () => turn(-1), "page-on": () => turn(1), "select-all": selectAll,
    "select-none": () => { state.selected.clear(); selectionChanged(); },
    again: () => relist({ anew: true }),
    "all-again": () => { state.page = 0; relist({ all: true }); },
    clear: () => { state.tags = []; state.page = 0; all("#studio-main [data-view]").forEach((input) => { if (input.dataset.view !== "sort") input.value = input.dataset.view === "filter" ? "all" : ""; }); relist({ all: true }); },
    use: async () => { if (await tried(ask("use", "use"))) { one("[data-do=use]").hidden = true; one(".studio-own").hidden = false; studio.again(); } },
    previous: () => step(-1), next: () => step(1),
  };
  const studio = { lane, ask, say, tried, make, named, one, all, state, listeners, relist, open, show, choose, dress, cardOf, DO, told: heard,
    leave: async () => {}, again: () => {} };
  window.loratory.studio = studio;

  let started = false;
  function begin() {
    if (started || !document.querySelector("#studio-main .studio") || !document.querySelector("#studio-opening form")
        || ["desk", "pictures", "looks", "arrivals", "use"].some((name) => !lanes[name]?.send)) { if (!started) setTimeout(begin, 50); return; }
    started = true;
    wire();
    tried(ask("desk", "hello", view())).then((answer) => { if (!answer) return; places(answer.places); if (answer.images) show(answer); });
  }
  function wire() {
    const roots = ["#studio-main", "#studio-opening"].map((selector) => document.querySelector(selector));
    roots.forEach((root) => root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.do && DO[button.dataset.do]) DO[button.dataset.do](button);
      if (button?.dataset.open) open(button.dataset.open);
      if (button?.dataset.tag !== undefined) {
        const tag = button.dataset.tag;
        state.tags = state.tags.includes(tag) ? state.tags.filter((each) => each !== tag) : [...state.tags, tag];
        state.page = 0;
        relist();
      }
    }));
    document.querySelector("#studio-opening [data-form=open]").addEventListener("submit", (event) => {
      event.preventDefault();
      open(document.getElementById("studio-path").value);
    });
    const area = one(".studio-grid");
    area.addEventListener("click", (event) => {
      const card = event.target.closest(".studio-card");
      if (!card) return;
      const toggle = event.ctrlKey || event.metaKey || event.target.classList.contains("mark");
      choose(card.dataset.name, { extend: event.shiftKey, toggle }).then(() => card.focus({ preventScroll: true }));
    });
    area.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });
    area.addEventListener("keydown", keys);
    let due = 0;
    all("#studio-main [data-view]").forEach((input) => input.addEventListener("input", () => {
      clearTimeout(due);
      due = setTimeout(async () => { await studio.leave(); state.page = 0; relist(); }, input.type === "search" ? 250 : 0);
    }));
    one(".tag-search").addEventListener("input", () => state.list && tags());
    studio.wireEditor();
    studio.wireUpload();
  }
})();
