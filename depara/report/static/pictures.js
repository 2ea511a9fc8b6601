// Attributions and graphs: images come as base64 in the data and are drawn on canvases.
async function bitmap(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/webp" }));
}

async function strip(canvas, text) {
  const image = await bitmap(text);
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
}

function openGallery(zoo, pictures) {
  const box = $("gallery");
  const count = pictures.names.length;
  const row = (head, canvas) => el("div", { class: "shot" }, el("div", { class: "who" }, head), canvas);
  const make = (label) => el("canvas", { role: "img", "aria-label": label, width: count * pictures.tile, height: pictures.tile });
  const first = make(`the probes: ${pictures.names.join("; ")}`);
  box.append(el("div", { class: "heading" }, row("probe", first)));
  strip(first, pictures.probes);
  pictures.models.forEach((model, at) => {
    const canvas = make(`attributions of ${zoo.models[model]}`);
    box.append(row(nameOf(zoo.models[model], 22), canvas));
    strip(canvas, pictures.strips[at]);
  });
}

async function openGraphs(zoo, pictures) {
  const { graphs } = pictures;
  const places = unpack(graphs.places);
  const pairs = wholes(graphs.pairs);
  const cosines = unpack(graphs.cosines);
  const n = graphs.num_probes;
  const e = graphs.num_edges;
  const nodes = await bitmap(pictures.nodes);

  function draw(side, at) {
    const canvas = $(`plane-${side}`);
    const width = Math.max(220, canvas.parentElement.clientWidth);
    const xs = places.subarray(2 * n * at, 2 * n * (at + 1));
    const ends = [0, 1].map((k) => {
      const values = Array.from({ length: n }, (_, i) => xs[2 * i + k]);
      return [Math.min(...values), Math.max(...values)];
    });
    const node = Math.max(18, width * 0.075);
    const scale = (width - node - 8) / Math.max(ends[0][1] - ends[0][0], 1e-6);
    const height = Math.min(1.1 * width, (ends[1][1] - ends[1][0]) * scale + node + 8);
    const context = sized(canvas, width, height);
    const fit = Math.min(scale, (height - node - 8) / Math.max(ends[1][1] - ends[1][0], 1e-6));
    const x = (i) => 4 + node / 2 + (xs[2 * i] - ends[0][0]) * fit;
    const y = (i) => height - 4 - node / 2 - (xs[2 * i + 1] - ends[1][0]) * fit;
    const own = cosines.subarray(e * at, e * (at + 1));
    const [low, high] = [Math.min(...own), Math.max(...own)];
    context.strokeStyle = hex("--accent");
    for (let k = e - 1; k >= 0; k--) {
      const share = (own[k] - low) / (high - low || 1);
      const [a, b] = [pairs[2 * (e * at + k)], pairs[2 * (e * at + k) + 1]];
      context.globalAlpha = 0.25 + 0.6 * share;
      context.lineWidth = 0.6 + 2 * share;
      context.beginPath();
      context.moveTo(x(a), y(a));
      context.lineTo(x(b), y(b));
      context.stroke();
    }
    context.globalAlpha = 1;
    for (let i = 0; i < n; i++) context.drawImage(nodes, i * pictures.node, 0, pictures.node, pictures.node, x(i) - node / 2, y(i) - node / 2, node, node);
    const name = zoo.models[pictures.models[at]];
    const about = `${e} strongest edges, cosines ${fixed(low, 2)} to ${fixed(high, 2)}; stress of the plane ${fixed(graphs.stress[at], 2)}`;
    $(`plane-${side}-about`).replaceChildren(el("b", {}, name), ` ${about}`);
    canvas.setAttribute("aria-label", `graph of ${name}: ${about}`);
  }
  const all = [];
  ["a", "b"].forEach((side, at) => {
    const select = $(`graph-${side}`);
    select.append(...pictures.models.map((model, k) => el("option", { value: k }, zoo.models[model])));
    select.value = Math.min(at ? pictures.models.length - 1 : 0, pictures.models.length - 1);
    const show = () => draw(side, Number(select.value));
    select.addEventListener("change", show);
    all.push(show);
    show();
  });
  let width = 0;
  new ResizeObserver((entries) => {
    const now = entries[0].contentRect.width;
    if (Math.abs(now - width) > 1) all.forEach((show) => show());
    width = now;
  }).observe($("plane-a").parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all.forEach((show) => show()));
}
