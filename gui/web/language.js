/* The page in another language, switched live: every text node, placeholder, title and aria-label whose English text is in
   the dictionary is shown in the chosen language; what is not in it stays English. Nothing is asked of the server but the
   dictionary itself. What comes from users stands in elements with translate="no" and is left alone.
   Keys with {0}, {1} … are patterns: "{0} of {1} images" fits "3 of 40 images"; what they hold is translated in turn, but
   for what stands in quotes ("{0}"): that is somebody's own word. A pattern of one word alone ("every {0}") fits figures and
   words of ours only, so that no sentence of a user's is taken for one; on buttons and in attributes it fits all. */
(() => {
  "use strict";
  const ATTRIBUTES = ["placeholder", "title", "aria-label", "data-tip"];
  const SKIPPED = "script, style, textarea, code, pre, svg, .notranslate, [contenteditable=true]";
  const KEPT = "loratory-language";
  const english = new WeakMap();   // text node -> what it says in English
  const given = new WeakMap();     // text node -> what was put there instead
  const attributes = new WeakMap();  // element -> {name: [English, shown]}
  let now = "en", words = new Map(), patterns = [], missing = new Set(), before = new Map();

  const FIGURE = /^[\d\s.,:%()±+/-]*\d[\d\s.,:%()±+/-]*( ?\w{1,3})?$/;  // 3, 29 % (0:36), 1.4 MB

  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  function learn(dictionary) {
    words = new Map(); patterns = []; missing = new Set(); before = new Map();
    for (const [key, text] of Object.entries(dictionary)) {
      if (!/\{\d\}/.test(key)) { words.set(key, text); continue; }
      const order = [...key.matchAll(/\{(\d)\}/g)].map((found) => Number(found[1]));
      const form = key.split(/\{\d\}/).map(escaped).join("([\\s\\S]+?)");
      const pieces = key.split(/\{\d\}/), fixed = pieces.join(" ").trim();
      const head = pieces[0], tail = pieces[pieces.length - 1];
      const quoted = order.map((number) => key.includes(`"{${number}}"`) || key.includes(`“{${number}}”`));
      patterns.push({ form: new RegExp(`^${form}$`), order, text, head, tail, quoted, weight: fixed.length, weak: /^[\w ]*$/.test(fixed) && !/\w +\w/.test(fixed) });
    }
    patterns.sort((one, other) => other.weight - one.weight);  // the most said first
  }

  /* "what is wrong – what to do": each for itself, or a pattern that ends in {1} would take both. null where a side is
     not known. */
  function inSides(text, ours, depth) {
    const mark = [" – ", " - "].find((each) => text.includes(each));
    if (!mark || depth > 2) return null;
    const [why, fix] = [text.slice(0, text.indexOf(mark)), text.slice(text.indexOf(mark) + mark.length)];
    const told = [why, fix].map((side) => inOurs(side, ours, depth));
    return told.includes(null) ? null : told.join(mark);
  }

  /* What a text is in the language of now; null where the dictionary has nothing for it. */
  function inOurs(text, ours, depth = 0) {
    const whole = words.get(text);
    if (whole !== undefined) return whole;
    const sides = inSides(text, ours, depth);
    if (sides !== null) return sides;
    for (const { form, order, text: to, head, tail, quoted, weak } of patterns) {
      if (!text.startsWith(head) || !text.endsWith(tail)) continue;
      const found = form.exec(text);
      if (!found) continue;
      if (weak && !ours && !found.slice(1).every((part) => FIGURE.test(part) || inOurs(part, ours, depth + 1) !== null)) continue;
      const parts = {};
      order.forEach((number, place) => {
        const part = found[place + 1];
        parts[number] = depth < 2 && !quoted[place] ? inOurs(part, ours, depth + 1) ?? part : part;
      });
      return to.replace(/\{(\d)\}/g, (_, number) => parts[number] ?? "");
    }
    return null;
  }

  /* The lines of a chart's read-out, each for itself; null where none of them is known. */
  function byLine(text) {
    const lines = text.split("\n"), told = lines.map((line) => inOurs(line.trim(), false));
    return lines.length > 1 && told.some((line) => line !== null) ? told.map((line, i) => line ?? lines[i]).join("\n") : null;
  }

  const REMEMBERED = 20000;  // texts; an area that is drawn anew each second says mostly what it said before

  function looked(flat, body, ours) {
    const key = (ours ? "!" : ".") + body;
    if (before.size > REMEMBERED) before.clear();
    if (!before.has(key)) before.set(key, inOurs(flat, ours) ?? byLine(body));
    return before.get(key);
  }

  function translated(text, ours = false) {
    const [, space, body, after] = /^(\s*)([\s\S]*?)(\s*)$/.exec(text);
    if (!body || now === "en") return text;
    const flat = body.replace(/\s+/g, " ");
    const told = looked(flat, body, ours);
    if (told === null) {
      if (/[A-Za-z]{2}/.test(flat)) missing.add(flat);
      return text;
    }
    return space + told + after;
  }

  /* As HTML has it: the nearest translate attribute counts, so that a part of what is the user's can be ours again. */
  const own = (element) => element.closest("[translate]")?.getAttribute("translate") === "no";
  const skipped = (element) => !element || Boolean(element.closest(SKIPPED)) || own(element);

  function sayText(node) {
    if (skipped(node.parentElement)) return;
    if (given.get(node) !== node.data) english.set(node, node.data);
    const text = translated(english.get(node), Boolean(node.parentElement.closest("button")));
    given.set(node, text);
    if (node.data !== text) node.data = text;
  }

  function sayAttributes(element) {
    if (element.closest("script, style, .notranslate") || own(element)) return;
    for (const name of ATTRIBUTES) {
      const value = element.getAttribute(name);
      if (!value) continue;
      const known = attributes.get(element) || {};
      if (!known[name] || known[name][1] !== value) known[name] = [value, value];
      const text = translated(known[name][0], true);
      known[name][1] = text;
      attributes.set(element, known);
      if (text !== value) element.setAttribute(name, text);
    }
  }

  function say(root) {
    if (root.nodeType === Node.TEXT_NODE) { sayText(root); return; }
    if (root.nodeType !== Node.ELEMENT_NODE) return;
    const selector = ATTRIBUTES.map((name) => `[${name}]`).join(",");
    if (root.matches(selector)) sayAttributes(root);
    root.querySelectorAll(selector).forEach(sayAttributes);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) sayText(node);
  }

  const watcher = new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "characterData") sayText(change.target);
      else if (change.type === "attributes") sayAttributes(change.target);
      else change.addedNodes.forEach(say);
    }
  });

  function speak(code, dictionary) {
    watcher.disconnect();
    now = code;
    learn(dictionary);
    document.documentElement.lang = { zh: "zh-Hans" }[code] || code;
    say(document.body);
    if (code !== "en") {
      watcher.observe(document.body,
        { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
    }
  }

  /* The language that this browser was last used in; at first its own, where we have it. */
  function wanted(known) {
    let kept = null;
    try { kept = localStorage.getItem(KEPT); } catch { /* a browser that keeps nothing */ }
    if (kept) return known.includes(kept) ? kept : "en";
    const own = (navigator.languages || [navigator.language || "en"]).map((tag) => tag.toLowerCase());
    for (const tag of own) {
      const code = tag.split("-")[0];
      if (code === "zh" && /hant|tw|hk|mo/.test(tag)) continue;  // ours is the simplified script
      if (known.includes(code)) return code;
    }
    return "en";
  }

  /* The select in the header. `trigger("speak", {code})` asks the server for the dictionary. */
  function languageMenu(element, trigger) {
    const menu = element.querySelector("select");
    const known = [...menu.options].map((option) => option.value);
    const ask = (code, times = 20) => {
      if (code !== menu.value || code === now || times === 0) return;
      trigger("speak", { code });
      setTimeout(() => ask(code, times - 1), 700);  // a page that has just opened hears nothing yet
    };
    menu.addEventListener("change", () => {
      try { localStorage.setItem(KEPT, menu.value); } catch { /* a browser that keeps nothing */ }
      if (menu.value === "en") speak("en", {}); else ask(menu.value);
    });
    menu.value = wanted(known);
    ask(menu.value);
  }

  function heard(json) {
    let told = null;
    try { told = JSON.parse(json || "null"); } catch { return; }
    if (told) speak(told.code, told.words);
  }

  Object.assign(window.loratory, {
    languageMenu,
    heard,
    told: (text) => translated(text, true),
    untranslated: () => [...missing].sort(),
    inEnglish: (node) => (english.get(node) ?? node.data).trim(),
    language: () => now,
  });
})();
