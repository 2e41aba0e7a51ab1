// Tables of the class "sortable" get a button in each heading; everything else on the page works
// without a script.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (!headings[column].classList.contains("number")) return cell.textContent.trim();
    const value = cell.dataset.value;
    return value === undefined ? null : Number(value);
  };
  const compare = (a, b) =>
    typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
  const sortBy = (column) => {
    const heading = headings[column];
    const rises = heading.getAttribute("aria-sort") !== "ascending";
    const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
    // What has no figure stays at the end, whichever way the others go.
    rows.sort(([a], [b]) =>
      a === null || b === null ? (a === null) - (b === null) : (rises ? 1 : -1) * compare(a, b)
    );
    body.append(...rows.map(([, row]) => row));
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rises ? "ascending" : "descending");
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(column));
    heading.append(button);
  });
}
