// Cells of tables that are built here; templates/parts.html writes the same as HTML.
const SIGNS = { first: "★", "as good": "≈", behind: "·", out: "✕" };
const SAFE = 0.9;

function intervalCell(cell, domain, digits) {
  const [value, low, high, floor] = cell;
  if (!known(value)) return el("span", { class: "muted" }, "–");
  const span = domain[1] - domain[0] || 1;
  const x = (at) => (2 + (116 * (at - domain[0])) / span).toFixed(1);
  const ends = digits > 2 ? 2 : digits;
  return el(
    "span",
    { class: "interval" },
    el("b", {}, fixed(value, digits)),
    known(low) ? el("span", { class: "ends" }, ` ${fixed(low, ends)} to ${fixed(high, ends)}`) : null,
    el(
      "svg",
      { viewBox: "0 0 120 10", "aria-hidden": "true" },
      el("path", { class: "rail", d: "M2 5H118" }),
      known(low) ? el("path", { class: "range", d: `M${x(low)} 5H${x(high)}` }) : null,
      known(floor) ? el("path", { class: "floor", d: `M${x(floor)} 0V10` }) : null,
      el("circle", { cx: x(value), cy: 5, r: 3.5 }),
    ),
  );
}

// Several names, whole on hover and focus.
function namesOf(value) {
  if (!value.length) return el("span", { class: "muted" }, "none");
  const sign = el("span", { class: "sign", "aria-hidden": "true" }, "≈");
  const whole = list(value, 40);
  const shown = value.length > 1 ? `${short(value[0], 20)} and ${value.length - 1} more` : short(value[0], 26);
  return el("span", {}, sign, " ", shown === whole ? shown : el("span", { class: "name", tabindex: 0, "data-full": whole }, shown));
}

const CELLS = {
  text: (value) => document.createTextNode(value),
  name: (value) => nameOf(value, 28),
  names: namesOf,
  choice: (value) => (value[1] ? el("span", { class: "same" }, "✓ same") : el("span", { class: "other" }, nameOf(value[0], 24))),
  number: (value, column) => document.createTextNode(fixed(value, column.digits)),
  whole: (value) => document.createTextNode(grouped(value)),
  share: (value) => document.createTextNode(percent(value)),
  safe: (value) => el("span", { class: "share" }, value < SAFE ? el("span", { class: "warn" }, "⚠ ") : null, percent(value)),
  interval: (value, column, domain) => intervalCell(value, domain, column.digits),
  sign: (value) => el("span", {}, el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[value]), ` ${value}`),
};

const NUMERIC = new Set(["number", "whole", "share", "safe"]);

function cellOf(column, value, domain) {
  return known(value) ? CELLS[column.kind](value, column, domain) : el("span", { class: "muted", "aria-label": "none" }, "–");
}

// What a cell is sorted, searched and downloaded by.
function plain(kind, value) {
  if (!known(value)) return null;
  if (kind === "interval" || kind === "choice") return value[0];
  return kind === "names" ? value.join("; ") : value;
}
