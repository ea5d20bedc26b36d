"use strict";
const sheet = document.body.dataset.sheet;
const criteria = document.body.dataset.criteria.split(" ");
const rows = Array.from(document.querySelectorAll("article"), (row) => row.dataset.row);
const rater = document.getElementById("rater");
// By page, too: two raters may share a browser, and neither may see what the other said.
const kept = `astrollava-ratings-${sheet}-${document.body.dataset.page}`;

function answer(row, criterion) {
  const chosen = document.querySelector(`input[name="${row}-${criterion}"]:checked`);
  return chosen === null ? "" : chosen.value;
}

function count() {
  let done = 0;
  for (const row of rows) {
    const whole = criteria.every((criterion) => answer(row, criterion) !== "");
    document.querySelector(`article[data-row="${row}"]`).classList.toggle("whole", whole);
    done += whole;
  }
  document.getElementById("done").textContent = `${done} of ${rows.length} texts rated`;
}

function cell(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function table() {
  const lines = [["sheet", "rater", "row", ...criteria]];
  for (const row of rows) {
    lines.push([sheet, rater.value.trim(), row, ...criteria.map((name) => answer(row, name))]);
  }
  return lines.map((line) => line.map(cell).join(",") + "\r\n").join("");
}

// A browser may keep nothing for a file opened from disk: then answers last as long as the page.
function keep() {
  const answers = {};
  for (const chosen of document.querySelectorAll("input[type=radio]:checked")) {
    answers[chosen.name] = chosen.value;
  }
  try {
    localStorage.setItem(kept, JSON.stringify({ rater: rater.value, answers }));
  } catch {}
}

function restore() {
  let before = null;
  try {
    before = JSON.parse(localStorage.getItem(kept));
  } catch {}
  if (before === null) return;
  rater.value = before.rater;
  for (const input of document.querySelectorAll("input[type=radio]")) {
    input.checked = before.answers[input.name] === input.value;
  }
}

function save() {
  if (rater.value.trim() === "") {
    rater.focus();
    document.getElementById("done").textContent = "Enter your name or initials first.";
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = `ratings-${sheet}-${rater.value.trim().replace(/[^\w.-]+/g, "_")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  count();
}

restore();
count();
document.addEventListener("change", () => { keep(); count(); });
rater.addEventListener("input", keep);
document.getElementById("save").addEventListener("click", save);
