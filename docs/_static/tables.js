/* No table hides columns: one that is too wide becomes a card for each row on a narrow
   screen; elsewhere it gets smaller type and, where that is not enough, a wider page. */
function labelCells(table) {
  const heads = table.querySelectorAll("thead tr");
  if (heads.length !== 1) return false;
  const names = [...heads[0].cells].map((cell) => cell.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    if (row.cells.length !== names.length) return false;
    [...row.cells].forEach((cell, i) => {
      cell.dataset.label = names[i];
      const text = cell.textContent.trim();
      cell.classList.toggle("long", text.length > 20);
      cell.classList.toggle("empty", !text);
    });
  }
  return true;
}

function fitTables() {
  for (const table of document.querySelectorAll(".bd-article table")) {
    const tooWide = () => table.scrollWidth > table.clientWidth + 1;
    table.classList.remove("small-type", "cards");
    if (!tooWide()) continue;
    const narrow = window.innerWidth < 768 && labelCells(table);
    table.classList.add(narrow ? "cards" : "small-type");
    if (tooWide() && window.innerWidth >= 1200)
      table.closest(".bd-article-container").classList.add("wide");
  }
}

window.addEventListener("load", fitTables);
window.addEventListener("resize", fitTables);
