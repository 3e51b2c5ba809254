/* The blocks of the network as a row of bars: what the fields below say, and written into them when a bar is dragged,
   moved by the arrow keys or typed into. One bar is in the tab order; left and right go to its neighbours. */
(() => {
  "use strict";
  const L = window.loratory;
  const { make, button } = L;
  const KINDS = {
    rank: { label: "Rank", step: 1, leap: 8, most: 1024, high: 2 },
    conv_rank: { label: "Convolution rank", step: 1, leap: 8, most: 1024, high: 2 },
    alpha: { label: "Alpha", step: 0.5, leap: 4, most: 4096, high: 2 },
    conv_alpha: { label: "Convolution alpha", step: 0.5, leap: 4, most: 4096, high: 2 },
    rate: { label: "Rate", step: 0.05, leap: 0.25, most: 100, high: 1.5 },
  };
  const PLACES = { both: "both ways", down: "on the way down", up: "on the way up" };
  const PAUSE_MS = 350, TYPING_MS = 1200, TRUST_MS = 3000;  // how long an answer that says otherwise counts as an older one

  let host = null, send = () => {}, data = null, kind = "rank", values = [], top = 1, now = 0;
  let dragged = null, timer = 0, later = 0, typed = "", wanted = null, until = 0;

  /* ---- the parts ---- */
  const root = make("div", "blocks"), bars = make("div", "block-bars"), about = make("p", "note"), off = make("p", "note");
  const hatched = make("p", "note", "Hatched: none of the layers there are trained.");
  const equal = button("small", "All equal", () => send({ what: kind, equal: true }));
  const shapes = make("div", "block-shapes"), base = make("input"), where = make("select");

  function radio(name) {
    const label = make("label"), input = make("input");
    input.type = "radio";
    input.name = "blocks-kind";
    input.value = name;
    input.checked = name === kind;
    input.addEventListener("change", () => { settle(); wanted = null; kind = name; take(); });
    label.append(input, make("span", "", KINDS[name].label));
    return label;
  }

  function build() {
    const head = make("div", "block-head"), choice = make("div", "block-kinds");
    root.setAttribute("role", "group");
    root.setAttribute("aria-labelledby", "blocks-name");
    const name = make("span", "label-text", "Blocks");
    name.id = "blocks-name";
    choice.setAttribute("role", "radiogroup");
    choice.setAttribute("aria-label", "What the bars show");
    choice.append(...Object.keys(KINDS).map(radio));
    head.append(name, choice, equal);
    equal.title = "The same in every block";
    const keys = make("p", "note", "Drag a bar, move it with up and down, or type a number; left and right go to the next block.");
    keys.id = "blocks-keys";
    about.setAttribute("translate", "no");
    off.className = "note why-off";
    root.append(head, shapes, bars, off, about, hatched, keys);
  }

  function buildShapes() {
    base.type = "number";
    base.min = "0";
    base.step = "0.05";
    base.value = "0";
    base.setAttribute("aria-label", "Base that is added to the shape");
    where.setAttribute("aria-label", "Blocks that get the shape");
    where.replaceChildren(...Object.entries(PLACES).map(([value, text]) => new Option(text, value)));
    shapes.replaceChildren(
      ...data.shapes.map((shape) => button("small", shape, () => send({ shape, base: Number(base.value) || 0, where: where.value }))),
      make("span", "", "+ base"), base, where);
    shapes.querySelectorAll("button").forEach((each) => each.setAttribute("translate", "no"));
  }

  function bar(name, index) {
    const node = make("div", "block-bar"), track = make("span", "track");
    node.setAttribute("role", "slider");
    node.setAttribute("aria-label", name);
    node.setAttribute("aria-orientation", "vertical");
    node.setAttribute("aria-describedby", "blocks-keys");
    node.setAttribute("aria-valuemin", "0");
    node.dataset.index = String(index);
    track.append(make("i"));
    const [, letters, figures] = /^(\D*)(\d*)$/.exec(name) || [null, name, ""], small = make("small");
    small.append(make("span", "", letters), make("span", "", figures));
    node.append(make("b"), track, small);
    node.setAttribute("translate", "no");
    return node;
  }

  /* All bars in one row, or in two of the same length where they would become too narrow: never one bar left over. */
  const NARROWEST_PX = 23;
  const fit = () => { if (data && bars.clientWidth) bars.classList.toggle("two", bars.clientWidth < data.names.length * NARROWEST_PX); };
  new ResizeObserver(fit).observe(bars);

  /* ---- showing ---- */
  const text = (value) => String(Number(value.toFixed(3)));
  const short = (value) => (value >= 100 ? String(Math.round(value)) : String(Number(value.toFixed(2))).replace(/^0\./, "."));
  const isFixed = (index) => Boolean(data[kind].off) || (kind === "rate" && data.fixed.includes(index));
  const isZero = (index) => values[index] === 0 || (kind === "rate" && values[index] <= data.zero);

  function show() {
    const { base: level } = data[kind];
    root.style.setProperty("--base", String(Math.min(1, level / top)));
    [...bars.children].forEach((node, index) => {
      const value = values[index], layers = data.layers[index], said = typed && index === now ? `${typed}_` : short(value);
      node.querySelector("b").textContent = said;
      node.querySelector("i").style.setProperty("--share", String(Math.min(1, value / top)));
      node.classList.toggle("bare", layers === 0);
      node.classList.toggle("fixed", isFixed(index));
      node.classList.toggle("zero", isZero(index));
      node.classList.toggle("other", value !== level);
      node.classList.toggle("typing", Boolean(typed) && index === now);
      node.tabIndex = index === now ? 0 : -1;
      node.setAttribute("aria-valuemax", String(KINDS[kind].most));
      node.setAttribute("aria-valuenow", String(value));
      node.setAttribute("aria-valuetext", `${text(value)}${isZero(index) ? ", not trained" : ""}`);
      node.setAttribute("aria-disabled", String(isFixed(index)));
    });
    tell();
  }

  function tell() {
    const layers = data.layers[now], value = text(values[now]);
    const count = layers === 0 ? "no layers are trained here" : `${layers} layer${layers === 1 ? "" : "s"}`;
    about.textContent = `${data.names[now]}: ${value}, ${count}`;
    off.textContent = data[kind].off;
    hatched.hidden = data.layers.every((count) => count > 0);
  }

  /* What the server says of the chosen kind, drawn anew. */
  function take() {
    values = [...data[kind].values];
    const highest = Math.max(...values, 0), level = data[kind].base;
    top = Math.max(level * KINDS[kind].high, highest * 1.25, kind === "rate" ? 1 : 8);
    shapes.hidden = kind !== "rate";
    equal.disabled = Boolean(data[kind].off);
    root.classList.toggle("is-off", Boolean(data[kind].off));
    show();
  }

  function drawBlocks(next) {
    if (!next || !host) return;
    const fresh = !data || JSON.stringify(data.names) !== JSON.stringify(next.names);
    data = next;
    if (fresh) {
      now = Math.max(0, data.layers.findIndex((count) => count > 0));
      bars.replaceChildren(...data.names.map(bar));
      bars.style.setProperty("--count", String(data.names.length));
      bars.style.setProperty("--half", String(Math.ceil(data.names.length / 2)));
      fit();
      buildShapes();
      dragged = null;
      wanted = null;
      stopTyping();
    }
    if (!root.isConnected) host.replaceChildren(root);
    if (dragged !== null || timer || typed) return;
    if (wanted !== null && Date.now() < until && JSON.stringify(data[kind].values) !== wanted) {  // an older answer
      clearTimeout(later);
      later = setTimeout(() => drawBlocks(data), until - Date.now() + 1);
      return;
    }
    wanted = null;
    take();
  }

  /* ---- changing ---- */
  function put(index, value) {
    const { step, most } = KINDS[kind];
    if (isFixed(index)) return;
    values[index] = Math.min(most, Math.max(0, Number((Math.round(value / step) * step).toFixed(3))));
    show();
  }
  function commit() {
    clearTimeout(timer);
    timer = 0;
    wanted = JSON.stringify(values);
    until = Date.now() + TRUST_MS;
    send({ what: kind, values });
  }
  const soon = () => { clearTimeout(timer); timer = setTimeout(commit, PAUSE_MS); };

  function stopTyping() { clearTimeout(timer); timer = 0; typed = ""; }
  function takeTyped() {
    const value = Number(typed.replace(",", "."));
    stopTyping();
    if (!Number.isFinite(value) || isFixed(now)) { show(); return; }
    const whole = KINDS[kind].step === 1;
    values[now] = Math.min(KINDS[kind].most, whole ? Math.round(value) : value);
    show();
    commit();
  }
  /* What is still pending is done before something else begins. */
  function settle() {
    if (typed) takeTyped();
    else if (timer) commit();
  }

  function go(index, focus = true) {
    if (typed) takeTyped();
    now = Math.max(0, Math.min(values.length - 1, index));
    show();
    if (focus) bars.children[now].focus({ preventScroll: true });
  }

  function type(key) {
    if (isFixed(now)) return;
    if (timer && !typed) commit();
    typed = key === "Backspace" ? typed.slice(0, -1) : typed + key;
    clearTimeout(timer);
    timer = typed ? setTimeout(takeTyped, TYPING_MS) : 0;
    show();
  }

  bars.addEventListener("keydown", (event) => {
    const node = event.target.closest(".block-bar");
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const { step, leap } = KINDS[kind], { key } = event, value = values[now];
    const moves = { ArrowUp: step, ArrowDown: -step, PageUp: leap, PageDown: -leap };
    if (key in moves) { if (typed) takeTyped(); put(now, value + moves[key] * (event.shiftKey ? leap / step : 1)); soon(); }
    else if (key === "Home") { put(now, 0); soon(); }
    else if (key === "End") { put(now, top); soon(); }
    else if (key === "ArrowLeft") go(now - 1);
    else if (key === "ArrowRight") go(now + 1);
    else if (/^[\d.,]$/.test(key) || (key === "Backspace" && typed)) type(key);
    else if (key === "Enter" && typed) takeTyped();
    else if (key === "Escape" && typed) { stopTyping(); show(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  bars.addEventListener("focusin", (event) => {
    const node = event.target.closest(".block-bar");
    if (node && Number(node.dataset.index) !== now) go(Number(node.dataset.index), false);
  });
  bars.addEventListener("focusout", settle);

  /* A drag sets the bar under the pointer, also those that it passes in the same row. */
  function under(event) {
    return [...bars.children].find((node) => {
      const box = node.getBoundingClientRect();
      return node.offsetTop === dragged && event.clientX >= box.left && event.clientX < box.right;
    });
  }
  function drag(event) {
    const node = under(event);
    if (!node) return;
    const box = node.querySelector(".track").getBoundingClientRect();
    now = Number(node.dataset.index);
    put(now, top * Math.max(0, Math.min(1, (box.bottom - event.clientY) / box.height)));
  }
  bars.addEventListener("pointerdown", (event) => {
    const node = event.target.closest(".block-bar");
    if (!node || event.button !== 0) return;
    event.preventDefault();
    settle();
    go(Number(node.dataset.index));
    if (!event.target.closest(".track")) return;
    dragged = node.offsetTop;
    try { bars.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    drag(event);
  });
  bars.addEventListener("pointermove", (event) => { if (dragged !== null) drag(event); });
  const drop = () => { if (dragged !== null) { dragged = null; commit(); } };
  bars.addEventListener("pointerup", drop);
  bars.addEventListener("pointercancel", drop);

  function blockBars(element, trigger) {
    host = element;
    send = (message) => trigger("bars", { ...message, turn: L.turn() });
    if (!root.childElementCount) build();
    host.replaceChildren(root);
    L.redress?.();
  }

  Object.assign(L, { blockBars, drawBlocks });
})();
