// Quantised columns: depara/report/columns.py says how they are written.
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CODES = new Uint8Array(128);
for (let i = 0; i < 64; i++) CODES[DIGITS.charCodeAt(i)] = i;

function unpack(column) {
  const { n, digits, low, step, text } = column;
  const values = new Float32Array(n);
  const last = 64 ** digits - 1;
  for (let i = 0, at = 0; i < n; i++) {
    let whole = 0;
    for (let k = 0; k < digits; k++) whole = whole * 64 + CODES[text.charCodeAt(at++)];
    values[i] = whole === last ? NaN : low + step * whole;
  }
  return values;
}

const wholes = (column) => Int32Array.from(unpack(column), (v) => (Number.isNaN(v) ? -1 : Math.round(v)));

function starts(counts) {
  const found = new Int32Array(counts.length + 1);
  for (let i = 0; i < counts.length; i++) found[i + 1] = found[i] + counts[i];
  return found;
}

// A score between all models, target by target; NaN on the diagonal.
function unpackMatrix(column, size) {
  const values = unpack(column);
  if (!column.symmetric) return values;
  const matrix = new Float32Array(size * size).fill(NaN);
  for (let i = 0, at = 0; i < size; i++)
    for (let j = i + 1; j < size; j++, at++) matrix[i * size + j] = matrix[j * size + i] = values[at];
  return matrix;
}
