// Tables: sortable, searchable, downloaded as CSV and JSON; above 200 rows only those in view exist.
const VIRTUAL = 200;
const ROW_PX = 50;
const collate = new Intl.Collator("en", { numeric: true }).compare;

const quoted = (value) => (/[",\n\r]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);

function asCsv(keys, rows) {
  return [keys, ...rows].map((row) => row.map((value) => quoted(known(value) ? String(value) : "")).join(",")).join("\r\n") + "\r\n";
}

function asJson(keys, rows) {
  return JSON.stringify(rows.map((row) => Object.fromEntries(keys.map((key, at) => [key, known(row[at]) ? row[at] : null]))), null, 1);
}

function compare(a, b, down) {
  if (!known(a) || !known(b)) return known(a) ? -1 : known(b) ? 1 : 0; // what is not known is last
  const order = typeof a === "number" && typeof b === "number" ? a - b : collate(String(a), String(b));
  return down ? -order : order;
}

// Search, count and downloads above a table. `plainRows` gives the rows in view as values.
function tools(name, keys, plainRows, search) {
  const count = el("span", { class: "quiet", role: "status" });
  const find = el("input", { type: "search", placeholder: "search", "aria-label": "Search the table", autocomplete: "off", on: { input: () => search(find.value.trim().toLowerCase()) } });
  const save = (kind, write) => el("button", { type: "button", "aria-label": `Download as ${kind}`, on: { click: () => download(`${name}.${kind.toLowerCase()}`, write(keys, plainRows()), kind === "CSV" ? "text/csv" : "application/json") } }, kind);
  const bar = el("div", { class: "tools" }, find, count, el("span", { class: "grow" }), save("CSV", asCsv), save("JSON", asJson));
  return { bar, count };
}

function sorters(heads, sort) {
  heads.forEach((head, at) => {
    const button = el("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && (NUMERIC.has(head.dataset.kind) || head.dataset.kind === "interval"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(at, down);
    });
    head.replaceChildren(button);
  });
}

// What a cell of HTML says; what it shows where it has no value of its own.
function valueOf(cell, kind) {
  const text = cell.dataset.v ?? cell.textContent;
  if (text === "") return null;
  return NUMERIC.has(kind) || kind === "interval" ? Number(text) : text;
}

// A table that stands in the page as HTML.
function enhance(box) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("thead th")];
  const kinds = heads.map((head) => head.dataset.kind);
  const rows = [...body.rows].map((row) => ({
    row,
    values: [...row.cells].map((cell, at) => valueOf(cell, kinds[at])),
    text: `${row.textContent} ${[...row.cells].map((cell) => cell.dataset.v).join(" ")}`.toLowerCase(),
  }));
  let shown = rows;
  const bar = tools(box.dataset.table, heads.map((head) => head.dataset.key), () => shown.map((one) => one.values), (text) => {
    shown = rows.filter((one) => one.text.includes(text));
    draw();
  });
  const draw = () => {
    body.replaceChildren(...shown.map((one) => one.row));
    bar.count.textContent = `${shown.length} of ${rows.length}`;
  };
  sorters(heads, (at, down) => {
    for (const all of [rows, shown]) all.sort((a, b) => compare(a.values[at], b.values[at], down));
    draw();
  });
  bar.count.textContent = rows.length === 1 ? "1 row" : `${rows.length} rows`;
  if (rows.length > 4) box.prepend(bar.bar);
}

// A table built from data: {columns, rows, domain}. Returns a function that gives it other rows.
function build(box, name, caption, data, act) {
  const { columns, domain } = data;
  let rows = data.rows;
  let shown = rows;
  let order = null;
  let sought = "";
  const heads = columns.map((column) => el("th", { scope: "col", "data-kind": column.kind, class: NUMERIC.has(column.kind) ? "num" : null }, column.label));
  const body = el("tbody");
  const table = el("table", { class: `${name} built` }, el("caption", { class: "quiet" }, caption), el("thead", {}, el("tr", {}, ...heads)), body);
  const scroller = el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": caption }, table);
  const values = (row) => columns.map((column, at) => plain(column.kind, row[at]));
  const bar = tools(name, columns.map((column) => column.key), () => shown.map(values), (text) => {
    sought = text;
    arrange();
  });
  const gap = (px) => el("tr", { class: "gap", "aria-hidden": "true" }, el("td", { colspan: columns.length, style: `height:${px}px` }));

  function rowOf(row, at) {
    const cells = columns.map((column, place) =>
      el(place ? "td" : "th", { scope: place ? null : "row", class: NUMERIC.has(column.kind) ? "num" : null, "data-label": column.label }, cellOf(column, row[place], domain)),
    );
    return el("tr", { "aria-rowindex": at + 2, on: act ? { dblclick: () => act(row) } : {} }, ...cells);
  }
  let first = -1;
  let last = -1;
  function draw(force) {
    if (shown.length <= VIRTUAL) {
      if (force) body.replaceChildren(...shown.map(rowOf));
      return;
    }
    const from = Math.max(0, Math.floor(scroller.scrollTop / ROW_PX) - 8);
    const to = Math.min(shown.length, from + Math.ceil((scroller.clientHeight || 640) / ROW_PX) + 16);
    if (!force && from === first && to === last) return;
    [first, last] = [from, to];
    body.replaceChildren(gap(from * ROW_PX), ...shown.slice(from, to).map((row, at) => rowOf(row, from + at)), gap((shown.length - to) * ROW_PX));
  }
  function arrange() {
    shown = sought ? rows.filter((row) => values(row).join(" ").toLowerCase().includes(sought)) : rows.slice();
    if (order) {
      const [at, down] = order;
      const keyed = shown.map((row) => [plain(columns[at].kind, row[at]), row]);
      shown = keyed.sort((a, b) => compare(a[0], b[0], down)).map((pair) => pair[1]);
    }
    scroller.classList.toggle("virtual", shown.length > VIRTUAL);
    table.caption.textContent = shown.length > VIRTUAL ? `${caption}; on paper the first ${VIRTUAL}` : caption;
    table.setAttribute("aria-rowcount", shown.length + 1);
    bar.count.textContent = shown.length === rows.length ? `${rows.length} rows` : `${shown.length} of ${rows.length}`;
    scroller.scrollTop = 0;
    draw(true);
  }
  sorters(heads, (at, down) => {
    order = [at, down];
    arrange();
  });
  scroller.addEventListener("scroll", () => draw(false), { passive: true });
  box.replaceChildren(bar.bar, scroller);
  arrange();
  // On paper a long table is its first rows.
  addEventListener("beforeprint", () => table.isConnected && shown.length > VIRTUAL && body.replaceChildren(...shown.slice(0, VIRTUAL).map(rowOf)));
  addEventListener("afterprint", () => draw(true));
  return (others) => {
    rows = others;
    arrange();
  };
}

// Names in the rows of a table of the data are places in the list of models.
function withNames(data, models) {
  const name = (value) => (typeof value === "number" ? models[value] : value);
  const read = { name, names: (value) => value.map(name), choice: (value) => [name(value[0]), Boolean(value[1])] };
  for (const row of data.rows)
    data.columns.forEach((column, at) => {
      if (known(row[at]) && read[column.kind]) row[at] = read[column.kind](row[at]);
    });
  return data;
}
