/* What to do about images without captions: a card under the images, with the captions of the first ones as they would be. */
(() => {
  "use strict";
  const L = window.loratory;
  const { at, make, button } = L;
  let drawn = "", phrase = "", due = 0;

  function drawCaptions(told) {
    const place = at("captions-choice");
    if (!place) return;
    if (!told) { if (drawn) { place.replaceChildren(); drawn = ""; phrase = ""; } return; }
    const kind = JSON.stringify([told.count, told.total, told.extension, told.writable]);
    if (drawn !== kind || !place.firstChild) { drawn = kind; lay(place, told); }
    fill(place, told.rows);
  }

  function lay(place, told) {
    const all = told.count === told.total;
    const title = make("h3", "", all
      ? `None of the ${told.total} images has a caption` : `${told.count} of ${told.total} images have no caption`);
    const why = make("p", "quiet", "They would be trained with no text. Choose what they are to be called:");
    const label = make("label", "phrase");
    const input = make("input");
    input.type = "text";
    input.value = phrase;
    input.placeholder = "a word that the model does not know, or a phrase";
    input.addEventListener("input", () => {
      phrase = input.value;
      able(place);
      clearTimeout(due);
      due = setTimeout(() => L.ask?.captions({ do: "preview", phrase }), 200);
    });
    label.append(make("span", "", "One phrase for all"), input);
    const table = make("table", "plain");
    table.append(make("thead"), make("tbody"));
    const row = make("tr");
    row.append(make("th", "", "Image"), make("th", "", "As trigger word"), make("th", "", "Written into files"));
    table.tHead.append(row);
    place.replaceChildren(title, why, label, table, buttons(told));
    able(place);
  }

  function buttons(told) {
    const box = make("div", "choices");
    const choice = (name, text, says, act) => {
      const one = make("div", "choice");
      const press = button("act", text, act);
      press.dataset.choice = name;
      one.append(press, make("span", "quiet", says));
      box.append(one);
    };
    choice("trigger", "Use it as the trigger word", "No file is written.", () => L.ask?.captions({ do: "trigger", phrase }));
    if (told.writable) {
      const files = told.writable === 1 ? "Write 1 caption file" : `Write ${told.writable} caption files`;
      choice("write", files, "Beside the images. No file is replaced; it can be undone.", () => L.ask?.captions({ do: "write", phrase }));
    }
    choice("auto", "Caption automatically", "A model of this computer describes each image: in the Dataset tab.", () => L.ask?.dataset({}));
    choice("own", "Write them yourself", "Image by image, in the Dataset tab.", () => L.ask?.dataset({}));
    return box;
  }

  function able(place) {
    place.querySelectorAll("[data-choice=trigger], [data-choice=write]").forEach((press) => { press.disabled = !phrase.trim(); });
  }

  function fill(place, rows) {
    const body = place.querySelector("tbody"), key = JSON.stringify(rows);
    if (!body || body.dataset.key === key) return;
    body.dataset.key = key;
    body.replaceChildren(...rows.map((one) => {
      const row = make("tr"), first = make("td", "image"), text = (words) => {
        const cell = make("td", words ? "" : "quiet", words || "no text");
        if (words) cell.setAttribute("translate", "no");
        return cell;
      };
      if (one.picture) { const image = make("img"); image.src = one.picture; image.alt = ""; first.append(image); }
      const name = make("span", "", one.name);
      name.setAttribute("translate", "no");
      first.append(name);
      row.append(first, text(one.trigger), text(one.file));
      return row;
    }));
  }

  Object.assign(L, { drawCaptions });
})();
