"use strict";
// Sorts and filters the tables of class "sortable", and shows the value of a mark in a chart beside the pointer.
// The page says the same without this script: tables in their order, values in tables and in the titles of marks.

// Positions of `keys` in order: numbers by value, texts as people sort them, what is missing (null) last either way.
function order(keys, descending) {
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const known = keys.map((_, place) => place).filter((place) => keys[place] !== null);
  const missing = keys.map((_, place) => place).filter((place) => keys[place] === null);
  known.sort((a, b) => (descending ? compare(keys[b], keys[a]) : compare(keys[a], keys[b])) || a - b);
  return known.concat(missing);
}

// Whether a text has every word of a query, in any order, upper or lower case.
function matches(text, query) {
  const lower = text.toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => lower.includes(word));
}

function keyOf(cell) {
  const exact = cell.querySelector("data");
  if (exact) return Number(exact.value);
  const text = cell.textContent.trim();
  return text === "" || text === "\u2013" ? null : text;
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  if (rows.length < 3) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent || "Name";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      // Up, down, and back to the order of the page.
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] || "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", next);
      const keys = rows.map((row) => keyOf(row.cells[column]));
      const places = next === "none" ? rows.keys() : order(keys, next === "descending");
      body.append(...[...places].map((place) => rows[place]));
    });
  });
  const label = document.createElement("label");
  label.className = "filter";
  const input = document.createElement("input");
  input.type = "search";
  const shown = document.createElement("output");
  label.append("Filter rows ", input, shown);
  table.parentElement.before(label);
  input.addEventListener("input", () => {
    for (const row of rows) row.hidden = !matches(row.textContent, input.value.trim());
    const left = rows.filter((row) => !row.hidden).length;
    shown.textContent = left < rows.length ? ` ${left} of ${rows.length}` : "";
  });
}

function showValues() {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const mark of document.querySelectorAll("svg .value")) {
    const title = mark.querySelector("title");
    const text = title.textContent;
    title.remove(); // or the browser would show it as well, later
    const show = (event) => {
      tip.textContent = text;
      tip.hidden = false;
      const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(left, 8)}px`;
      tip.style.top = `${Math.max(event.clientY - tip.offsetHeight - 10, 8)}px`;
    };
    mark.addEventListener("pointerenter", show);
    mark.addEventListener("pointermove", show);
    mark.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
}

if (typeof document !== "undefined") {
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  showValues();
}
if (typeof module !== "undefined") module.exports = { order, matches };
