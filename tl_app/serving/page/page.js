
"use strict";
const $ = (id) => document.getElementById(id);
let models = [];

function headers() {
  const token = $("token").value;
  return token ? { Authorization: "Bearer " + token } : {};
}

function say(text) { $("message").textContent = text; }

function chosen() { return models.find((model) => model.name === $("model").value); }

async function ask(url, options) {
  const response = await fetch(url, { ...options, headers: headers() });
  if (response.status === 401) $("token-row").hidden = false;
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error || "status " + response.status);
  return answer;
}

function base64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) {
    text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  }
  return btoa(text);
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function percent(share) {
  if (share > 0.9995) return "> 99.9 %";
  return share < 0.0005 ? "< 0.1 %" : (100 * share).toFixed(1) + " %";
}

function show(title, picture, row) {
  const item = element("li");
  item.append(picture || element("div"));
  const told = element("div");
  told.append(element("p", "name", title));
  if (row.status !== "ok") {
    told.append(element("p", "problem", "This cannot be used: it is cut off, damaged or of another kind."));
  } else {
    row.labels.forEach((label, place) => {
      const share = row.probabilities[place];
      const line = element("p", "label");
      line.append(element("span", "", label), element("span", "", percent(share)));
      const meter = element("meter");
      meter.max = 1;
      meter.value = share;
      line.append(meter);
      told.append(line);
    });
  }
  item.append(told);
  $("answers").prepend(item);
}

async function predict(instances) {
  const name = encodeURIComponent($("model").value);
  const body = JSON.stringify({ instances });
  return (await ask("/v1/models/" + name + ":predict", { method: "POST", body })).predictions;
}

async function pictures(files) {
  for (const file of files) {
    say("Asking about " + file.name + " …");
    try {
      const [row] = await predict([{ b64: base64(await file.arrayBuffer()) }]);
      const picture = element("img");
      picture.alt = "";
      picture.src = URL.createObjectURL(file);
      show(file.name, picture, row);
      say("");
    } catch (error) {
      say(file.name + ": " + error.message);
    }
  }
}

function fit() {
  const model = chosen();
  $("drop").hidden = !model || model.modality !== "image";
  $("text-form").hidden = !model || model.modality !== "text";
}

async function list() {
  try {
    models = (await ask("/v1/models", {})).models.filter((model) => model.version !== null);
    $("model").replaceChildren(...models.map((model) => {
      const option = element("option", "", model.name + ", version " + model.version);
      option.value = model.name;
      return option;
    }));
    say("");
  } catch (error) {
    say(error.message);
  }
  fit();
}

$("model").addEventListener("change", fit);
$("token").addEventListener("change", list);
$("files").addEventListener("change", (event) => pictures(event.target.files));
for (const kind of ["dragenter", "dragover"]) {
  $("drop").addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
}
$("drop").addEventListener("drop", (event) => pictures(event.dataTransfer.files));
$("text-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const [row] = await predict([$("text").value]);
    show($("text").value, null, row);
    say("");
  } catch (error) {
    say(error.message);
  }
});
list();
