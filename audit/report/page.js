// Filter and sort, where script is on. The page says the same without it.
"use strict";
for (const table of document.querySelectorAll("table.tool")) {
  const body = table.tBodies[0], rows = [...body.rows];
  if (rows.length < 6) continue; // all of it is seen at a glance
  const caption = table.caption.textContent.trim();

  const label = document.createElement("label");
  const input = document.createElement("input");
  const left = document.createElement("output");
  label.className = "filter";
  input.type = "search";
  input.placeholder = "Filter";
  input.setAttribute("aria-label", "Filter: " + caption);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    let n = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(w => text.includes(w));
      n += !row.hidden;
    }
    left.textContent = input.value ? n + " of " + rows.length : "";
  });
  label.append(input, left);
  (table.closest(".wide") || table).before(label);

  const value = (row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent.trim();
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((th, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    button.addEventListener("click", () => {
      const up = th.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.sort((a, b) => value(a, i).localeCompare(value(b, i), "en", {numeric: true}) * (up ? 1 : -1));
      body.append(...rows);
    });
    th.append(button);
  });
}
