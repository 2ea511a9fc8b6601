// The matrix on one canvas: any score, any lambda, in the order of the tree.
function openMatrix(zoo, chooseTarget) {
  const canvas = $("heat");
  const state = { score: "similarity", lambda: zoo.lambda, values: null, firsts: null, means: null, row: -1, column: -1, low: 0, high: 1 };
  const { order, size, scanFirsts } = zoo;
  const image = document.createElement("canvas");
  image.width = image.height = size;
  const longest = Math.min(22, Math.max(...zoo.models.map((name) => name.length)));
  const labelled = size <= 60;
  let box = null;

  function measure() {
    const width = canvas.parentElement.clientWidth;
    const margin = labelled ? Math.min(longest * 7 + 12, Math.floor(width * 0.3)) : 4;
    const band = 12;
    const side = Math.max(80, Math.min(width - margin - band - 8, labelled ? Math.max(Math.min(54 * size, 700), 24 * size) : 760));
    return { margin, band, side, cell: side / size, width: margin + side + band + 6, height: margin + side + band + 6 };
  }

  function shades() {
    const low = rgb("--low");
    const high = rgb("--high");
    const found = new Uint32Array(256);
    for (let k = 0; k < 256; k++) {
      const t = k / 255;
      const c = low.map((one, i) => Math.round(one + (high[i] - one) * t));
      found[k] = (255 << 24) | (c[2] << 16) | (c[1] << 8) | c[0];
    }
    return found;
  }
  let table = shades();
  const share = (value) => Math.max(0, Math.min(255, Math.round((255 * (value - state.low)) / (state.high - state.low || 1))));
  const css = (value) => {
    const c = table[share(value)];
    return `rgb(${c & 255},${(c >> 8) & 255},${(c >> 16) & 255})`;
  };

  function paint() {
    const context = image.getContext("2d");
    const pixels = context.createImageData(size, size);
    const words = new Uint32Array(pixels.data.buffer);
    const scale = 255 / (state.high - state.low || 1);
    for (let r = 0, at = 0; r < size; r++) {
      const base = order[r] * size;
      for (let c = 0; c < size; c++, at++) {
        const value = state.values[base + order[c]];
        if (value !== value) continue;
        const k = (value - state.low) * scale;
        words[at] = table[k < 0 ? 0 : k > 255 ? 255 : k | 0];
      }
    }
    context.putImageData(pixels, 0, 0);
  }

  function draw() {
    box = measure();
    const { margin, band, side, cell } = box;
    const context = sized(canvas, box.width, box.height);
    context.clearRect(0, 0, box.width, box.height);
    context.imageSmoothingEnabled = cell < 1;
    context.drawImage(image, margin, margin, side, side);
    const ink = hex("--ink");
    const muted = hex("--muted");
    const { means } = state;
    for (let k = 0; k < size; k++) {
      context.fillStyle = css(means.target[order[k]]);
      const [from, to] = [Math.round(k * cell), Math.round((k + 1) * cell)];
      context.fillRect(margin + side + 6, margin + from, band, Math.max(1, to - from));
      context.fillStyle = css(means.source[order[k]]);
      context.fillRect(margin + from, margin + side + 6, Math.max(1, to - from), band);
    }
    if (labelled) {
      context.font = `${Math.min(13, Math.max(9, cell * 0.6))}px system-ui, sans-serif`;
      context.textBaseline = "middle";
      for (let k = 0; k < size; k++) {
        const name = short(zoo.models[order[k]], Math.floor(margin / 6.6));
        context.fillStyle = k === state.row ? ink : muted;
        context.textAlign = "right";
        context.fillText(name, margin - 7, margin + (k + 0.5) * cell, margin - 8);
        context.save();
        context.translate(margin + (k + 0.5) * cell, margin - 7);
        context.rotate(-Math.PI / 2);
        context.fillStyle = k === state.column ? ink : muted;
        context.textAlign = "left";
        context.fillText(name, 0, 0, margin - 8);
        context.restore();
      }
    }
    const radius = Math.max(0.8, Math.min(4, cell * 0.16));
    const columnOf = new Int32Array(size);
    order.forEach((model, k) => (columnOf[model] = k));
    for (let r = 0; r < size; r++) {
      const first = state.firsts[order[r]];
      if (first < 0 || cell < 2) continue;
      const x = margin + (columnOf[first] + 0.5) * cell;
      context.beginPath();
      context.arc(x, margin + (r + 0.5) * cell, radius, 0, 7);
      context.fillStyle = share(state.values[order[r] * size + first]) > 127 ? hex("--paper") : ink;
      context.fill();
    }
    if (state.row >= 0) {
      context.strokeStyle = hex("--mark");
      context.lineWidth = 1.5;
      if (cell < 8) {
        context.strokeRect(margin, margin + state.row * cell - 1, side, cell + 2);
        context.strokeRect(margin + state.column * cell - 1, margin, cell + 2, side);
      } else context.strokeRect(margin + state.column * cell, margin + state.row * cell, cell, cell);
    }
  }

  function drawScale() {
    const context = sized($("scale"), 240, 34);
    for (let x = 0; x < 240; x++) {
      context.fillStyle = css(state.low + ((state.high - state.low) * x) / 239);
      context.fillRect(x, 0, 1, 10);
    }
    context.fillStyle = hex("--muted");
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "top";
    context.fillText(fixed(state.low, 2), 0, 16);
    context.textAlign = "right";
    context.fillText(fixed(state.high, 2), 240, 16);
    $("scale").setAttribute("aria-label", `colours from ${fixed(state.low, 2)} (pale) to ${fixed(state.high, 2)} (strong)`);
  }

  function readout() {
    const box = $("readout");
    if (state.row < 0) {
      box.replaceChildren(el("p", { class: "quiet" }, "Point at a cell, or focus the matrix and use the arrow keys."));
      return;
    }
    const target = order[state.row];
    const source = order[state.column];
    const value = state.values[target * size + source];
    if (target === source) {
      box.replaceChildren(el("p", {}, el("b", {}, zoo.models[target])), el("p", { class: "quiet" }, "A model is no source for itself."));
      return;
    }
    let rank = 1;
    for (let s = 0; s < size; s++) if (state.values[target * size + s] > value) rank++;
    box.replaceChildren(
      el("p", { class: "big" }, fixed(value, 3)),
      el("p", {}, el("span", { class: "muted" }, "source "), zoo.models[source]),
      el("p", {}, el("span", { class: "muted" }, "target "), zoo.models[target]),
      el("p", {}, rank === 1 ? "★ its first choice" : `rank ${rank} for this target`),
    );
  }

  // Which first choices are others than the scan's.
  function moved() {
    const others = [...zoo.targets].filter((target) => state.firsts[target] !== scanFirsts[target]);
    const name = state.score === "similarity" ? `λ = ${state.lambda === Infinity ? "∞" : fixed(state.lambda, 2)}` : state.score;
    const head = el("p", {}, el("b", {}, `${zoo.targets.length - others.length} of ${zoo.targets.length}`), ` first choices by ${name} are the scan's own.`);
    const rows = others.slice(0, 8).map((target) => el("li", {}, nameOf(zoo.models[target], 24), ": ", nameOf(zoo.models[scanFirsts[target]], 20), " → ", nameOf(zoo.models[state.firsts[target]] ?? "–", 20)));
    if (others.length > 8) rows.push(el("li", { class: "muted" }, `and ${others.length - 8} more`));
    $("moved").replaceChildren(head, el("ul", {}, ...rows));
  }

  function update() {
    state.values = zoo.score(state.score, state.lambda);
    state.means = zoo.survey(state.values, zoo.precision(state.score, state.lambda));
    ({ firsts: state.firsts, low: state.low, high: state.high } = state.means);
    paint();
    draw();
    drawScale();
    readout();
    moved();
  }

  function point(row, column) {
    [state.row, state.column] = [Math.max(0, Math.min(size - 1, row)), Math.max(0, Math.min(size - 1, column))];
    draw();
    readout();
  }

  canvas.addEventListener("pointermove", (event) => {
    const row = Math.floor((event.offsetY - box.margin) / box.cell);
    const column = Math.floor((event.offsetX - box.margin) / box.cell);
    if (row >= 0 && column >= 0 && row < size && column < size && (row !== state.row || column !== state.column)) point(row, column);
  });
  canvas.addEventListener("click", () => state.row >= 0 && chooseTarget(order[state.row]));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) {
      event.preventDefault();
      point(state.row + step[0], state.column + step[1]);
    } else if (event.key === "Enter" && state.row >= 0) chooseTarget(order[state.row], true);
  });

  const select = $("score");
  select.append(...["similarity", ...zoo.names].map((name) => el("option", { value: name }, name)));
  const slider = $("lambda");
  const toLambda = (at) => (at >= 100 ? Infinity : (4 * at) / (100 - at));
  function show() {
    $("lambda-value").textContent = state.lambda === Infinity ? "∞ (edges alone)" : `${fixed(state.lambda, 2)}${state.lambda === zoo.lambda ? " (the scan’s)" : ""}`;
    slider.disabled = $("lambda-reset").disabled = state.score !== "similarity";
    const left = zoo.leftOut.length ? ` Left out of this file for its size: ${zoo.leftOut.join(", ")}; the similarity table has them.` : "";
    $("score-about").textContent = `${zoo.meanings[state.score]}.${left}`;
    update();
  }
  select.addEventListener("change", () => {
    state.score = select.value;
    show();
  });
  slider.addEventListener("input", () => {
    state.lambda = toLambda(Number(slider.value));
    show();
  });
  $("lambda-reset").addEventListener("click", () => {
    state.lambda = zoo.lambda;
    slider.value = (100 * zoo.lambda) / (4 + zoo.lambda);
    show();
  });
  const find = $("find");
  $("model-names").append(...(size <= 200 ? zoo.models.map((name) => el("option", { value: name })) : []));
  find.addEventListener("input", () => {
    const text = find.value.trim().toLowerCase();
    const found = text ? zoo.order.findIndex((model) => zoo.models[model].toLowerCase().includes(text)) : -1;
    if (found >= 0) point(found, state.column < 0 ? found : state.column);
  });
  slider.value = (100 * zoo.lambda) / (4 + zoo.lambda);
  show();
  new ResizeObserver(() => box && measure().width !== box.width && draw()).observe(canvas.parentElement);
  const redraw = () => {
    table = shades();
    paint();
    draw();
    drawScale();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return state;
}
