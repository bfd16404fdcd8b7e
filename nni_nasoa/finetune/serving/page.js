"use strict";
const AT_ONCE = 4, CLASSES = 5; // requests of this page at a time; classes that are shown of an image
const main = document.querySelector("main"), input = document.getElementById("files");
const results = document.getElementById("results"), said = document.getElementById("status");
const waiting = [];
let busy = 0, done = 0, all = 0;

for (const place of document.querySelectorAll(".address")) place.textContent = location.origin + "/";

input.addEventListener("change", () => { take(input.files); input.value = ""; });
addEventListener("paste", (event) => take(event.clipboardData.files));

// A file that is dropped beside the field would be opened in place of the page.
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(event.dataTransfer.files);
});

function take(files) {
  if (busy === 0 && waiting.length === 0) { done = 0; all = 0; }
  for (const file of files) waiting.push([file, addCard(file)]);
  all += files.length;
  work();
}

function work() {
  while (busy < AT_ONCE && waiting.length) {
    const [file, card] = waiting.shift();
    busy += 1;
    ask(file, card).then((text) => {
      busy -= 1;
      done += 1;
      said.textContent = all === 1 ? text : `${done} of ${all} images`;
      work();
    });
  }
}

function addCard(file) {
  const card = document.getElementById("card").content.cloneNode(true).firstElementChild;
  const picture = card.querySelector("img");
  card.querySelector("h2").textContent = file.name;
  picture.addEventListener("load", () => URL.revokeObjectURL(picture.src));
  picture.addEventListener("error", () => { picture.parentElement.textContent = "no preview"; });
  picture.src = URL.createObjectURL(file);
  results.prepend(card);
  return card;
}

/** Have the server classify a file, and show it; gives a line that says what came of it. */
async function ask(file, card) {
  if (file.size > Number(main.dataset.maxBytes)) return fail(card, "The file is too large.");
  const form = new FormData();
  form.append("image", file, file.name);
  let answer;
  try {
    answer = await (await fetch(`predict?top_k=${CLASSES}`, { method: "POST", body: form })).json();
  } catch {
    return fail(card, "The server does not answer.");
  }
  const found = Array.isArray(answer) ? answer[0] : answer;
  return found.error ? fail(card, found.error.replace(`${file.name}: `, "")) : show(card, found);
}

function fail(card, text) {
  card.classList.add("failed");
  card.querySelector(".message").textContent = text;
  return text;
}

function show(card, found) {
  const rows = card.querySelector("tbody");
  for (const { label, probability } of found.predictions) {
    const row = rows.insertRow(), name = row.insertCell();
    name.textContent = label;
    name.append(bar(probability));
    row.insertCell().textContent = percent(probability);
  }
  card.querySelector(".message").remove();
  card.querySelector("table").hidden = false;
  const best = found.predictions[0];
  return `${found.image}: ${best.label}, ${percent(best.probability)}`;
}

function bar(share) {
  const track = document.createElement("span"), filled = document.createElement("i");
  track.className = "bar";
  track.setAttribute("aria-hidden", "true");
  filled.style.width = `${100 * share}%`;
  track.append(filled);
  return track;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
