"use strict";

// Every column of a sortable table gets a button that sorts by it: numbers by data-sort, texts as they read, what is undefined last.
const texts = new Intl.Collator("en", { numeric: true });
const key = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();

function compare(a, b, down) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const order = a !== b && !isNaN(a) && !isNaN(b) ? a - b : texts.compare(a, b);
  return down ? -order : order;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    if (header.classList.contains("-")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...[...body.rows].sort((a, b) => compare(key(a, column), key(b, column), down)));
    });
  });
}

// Pictures that were never scrolled to would be missing on paper.
addEventListener("beforeprint", () => {
  for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
});
