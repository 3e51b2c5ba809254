/* Uploads of the Dataset tab: files, a folder or a ZIP, by choosing or by dropping; sent in small lots, so that the bar tells the truth. */
(() => {
  "use strict";
  const studio = window.loratory.studio;
  const { ask, make, named, one, DO } = studio;
  const LOT_FILES = 12, LOT_BYTES = 48e6;
  let chosen = [], stopped = false, busy = false;

  function take(files) {  // [{file, as}]
    chosen = files.filter((each) => !each.file.name.startsWith("."));
    const bytes = chosen.reduce((sum, each) => sum + each.file.size, 0);
    one(".studio-chosen").textContent = chosen.length ? `${chosen.length} files, ${(bytes / 1e6).toFixed(1)} MB` : "No file was found there.";
    one("[data-do=upload]").disabled = !chosen.length || busy;
    const name = document.getElementById("studio-name");
    if (!name.value.trim() && chosen.length) {
      const first = chosen[0];
      const top = first.as.includes("/") ? first.as.split("/")[0] : /\.zip$/i.test(first.as) ? first.as.replace(/\.zip$/i, "") : "my pictures";
      name.value = top;
    }
    one(".studio-arrived").replaceChildren();
  }
  async function within(entry, path, found) {
    if (entry.isFile) {
      const file = await new Promise((done, fail) => entry.file(done, fail));
      found.push({ file, as: path + entry.name });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return;
      for (const each of some) await within(each, `${path}${entry.name}/`, found);
    }
  }
  async function dropped(event) {
    event.preventDefault();
    one(".studio-drop").classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...event.dataTransfer.files], found = [];
    if (entries.length) for (const entry of entries) await within(entry, "", found);
    else files.forEach((file) => found.push({ file, as: file.name }));
    take(found);
  }

  function send(files, moved) {
    return new Promise((done, fail) => {
      const form = new FormData(), request = new XMLHttpRequest();
      files.forEach((each) => form.append("files", each.file, each.file.name));
      request.open("POST", "gradio_api/upload");
      request.upload.onprogress = (event) => moved(event.loaded);
      request.onload = () => (request.status === 200 ? done(JSON.parse(request.responseText)) : fail(new Error(`The upload was refused: ${request.responseText.slice(0, 200)}`)));
      request.onerror = () => fail(new Error("The upload broke off."));
      request.send(form);
    });
  }
  function lots(files) {
    const made = [];
    let bytes = 0;
    files.forEach((each) => {
      const lot = made[made.length - 1];
      if (!lot || lot.length >= LOT_FILES || bytes + each.file.size > LOT_BYTES) { made.push([each]); bytes = each.file.size; }
      else { lot.push(each); bytes += each.file.size; }
    });
    return made;
  }
  async function upload() {
    const name = document.getElementById("studio-name").value.trim();
    if (!name) { arrived("Give the new folder a name.", {}, "bad"); document.getElementById("studio-name").focus(); return; }
    const zips = chosen.filter((each) => /\.zip$/i.test(each.as)), plain = chosen.filter((each) => !zips.includes(each));
    const bar = document.querySelector("#studio-upload progress"), whole = chosen.reduce((sum, each) => sum + each.file.size, 0) || 1;
    let sent = 0, kept = 0, folder = "", refused = {};
    const told = (answer) => { kept += answer.kept; folder = answer.folder; Object.assign(refused, answer.refused); };
    busy = true; stopped = false;
    one("[data-do=upload]").disabled = true; one("[data-do=upload-stop]").hidden = false; bar.hidden = false; bar.value = 0;
    const moved = (bytes) => { bar.value = Math.min(1, (sent + bytes) / whole); one(".studio-chosen").textContent = `Sending: ${Math.round(100 * bar.value)} %`; };
    try {
      for (const lot of lots(plain)) {
        if (stopped) break;
        const paths = await send(lot, moved);
        sent += lot.reduce((sum, each) => sum + each.file.size, 0);
        told(await ask("arrivals", "keep", { name, files: lot.map((each, at) => ({ file: paths[at], as: each.as })) }));
      }
      for (const zip of zips) {
        if (stopped) break;
        const [path] = await send([zip], moved);
        sent += zip.file.size;
        for (let at = 0, of = 1; at < of && !stopped;) {
          const answer = await ask("arrivals", "unpack", { name, file: path, at });
          told(answer);
          at = answer.at; of = answer.of;
          bar.value = of ? at / of : 1;
          one(".studio-chosen").textContent = `Unpacking: ${at} of ${of} files`;
        }
      }
      arrived(stopped ? `Stopped. Kept ${kept} files.` : `Kept ${kept} files.`, refused, "good");
    } catch (error) { arrived(error.message, refused, "bad"); }
    busy = false; chosen = [];
    one("[data-do=upload-stop]").hidden = true; bar.hidden = true; one(".studio-chosen").textContent = "";
    if (folder && kept) await studio.open(folder);
  }
  function arrived(text, refused, kind) {
    const area = one(".studio-arrived"), rows = Object.entries(refused);
    area.replaceChildren(make("p", kind, text));
    if (!rows.length) return;
    const list = make("ul", "lines");
    rows.slice(0, 200).forEach(([name, why]) => list.append(named(name, why)));
    area.append(make("p", "bad", `Not kept: ${rows.length} files`), list);
  }

  Object.assign(DO, {
    "upload-open": (button) => {
      const area = document.getElementById("studio-upload");
      area.hidden = !area.hidden;
      button.setAttribute("aria-expanded", !area.hidden);
    },
    "pick-files": () => one(".studio-files").click(), "pick-folder": () => one(".studio-directory").click(),
    upload, "upload-stop": () => { stopped = true; },
  });
  studio.wireUpload = () => {
    const area = one(".studio-drop");
    one(".studio-files").addEventListener("change", (event) => { take([...event.target.files].map((file) => ({ file, as: file.name }))); event.target.value = ""; });
    one(".studio-directory").addEventListener("change", (event) => { take([...event.target.files].map((file) => ({ file, as: file.webkitRelativePath || file.name }))); event.target.value = ""; });
    area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", dropped);
  };
})();
