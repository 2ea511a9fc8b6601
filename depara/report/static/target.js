// One target: its sources with their intervals, and where to cut them.
const MOST_BARS = 15;
const MOST_CURVES = 5;
// Okabe and Ito's colours, each with a dash of its own.
const LINES = [
  ["#0072b2", []],
  ["#d55e00", [7, 3]],
  ["#009e73", [2, 3]],
  ["#b06090", [9, 3, 2, 3]],
  ["#8a7a00", [4, 2]],
];

function sentenceOf(rows, models) {
  const [first] = rows;
  const good = rows.filter((one) => one.standing === "as good").map((one) => short(models[one.source]));
  const out = rows.filter((one) => one.standing === "out").length;
  const parts = [`Start from ${models[first.source]}, cut at ${first.cutName}`];
  if (known(first.p_first)) parts[0] += `: first in ${percent(first.p_first)} of resamples`;
  if (good.length) parts.push(`${list(good)} ${good.length === 1 ? "is" : "are"} as good within the intervals`);
  else if (known(first.p_first)) parts.push("no other is as good within the intervals");
  if (out) parts.push(`${out} of ${rows.length} ${out === 1 ? "is" : "are"} out`);
  return `${parts.join("; ")}.`;
}

function barsOf(rows, models) {
  const shown = rows.slice(0, MOST_BARS);
  const ends = shown.flatMap((one) => [one.similarity, one.low, one.high, one.null, 0]).filter(known);
  const low = Math.min(...ends);
  const span = Math.max(...ends) - low || 1;
  const x = (value) => ((1000 * (value - low)) / span).toFixed(1);
  const grid = el("div", { class: "bars", role: "table", "aria-label": "Sources with intervals" });
  for (const one of shown) {
    const from = Math.min(x(0), x(one.similarity));
    const mark = el(
      "svg",
      { viewBox: "0 0 1000 18", preserveAspectRatio: "none", "aria-hidden": "true" },
      el("rect", { class: "bar", x: from, y: 3, width: Math.abs(x(one.similarity) - x(0)), height: 12 }),
      known(one.low) ? el("path", { class: "whisker", d: `M${x(one.low)} 9H${x(one.high)}M${x(one.low)} 5V13M${x(one.high)} 5V13` }) : null,
      known(one.null) ? el("path", { class: "floor", d: `M${x(one.null)} 0V18` }) : null,
    );
    const ends = known(one.low) ? ` ${fixed(one.low, 2)} to ${fixed(one.high, 2)}` : "";
    grid.append(
      el(
        "div",
        { class: `row ${one.standing.replace(" ", "-")}`, role: "row" },
        el("span", { role: "rowheader" }, el("span", { class: "sign", title: one.standing, role: "img", "aria-label": one.standing }, SIGNS[one.standing]), " ", nameOf(models[one.source], 26)),
        el("span", { role: "cell" }, mark),
        el("span", { role: "cell", class: "num" }, el("b", {}, fixed(one.similarity, 3)), el("span", { class: "muted" }, ends)),
      ),
    );
  }
  const more = rows.length > MOST_BARS ? [el("p", { class: "quiet" }, `The first ${MOST_BARS} of ${rows.length}; all are in the table below.`)] : [];
  return [grid, ...more];
}

function drawCurves(box, key, zoo, rows) {
  box.replaceChildren();
  key.replaceChildren();
  const shown = rows.slice(0, MOST_CURVES).map((one) => [one, zoo.curve(one)]).filter((pair) => pair[1] && pair[1].value.some(known));
  if (!shown.length) {
    box.append(el("p", { class: "quiet" }, "No layers were compared."));
    return null;
  }
  const tables = shown.map(([, curve]) => [curve.depth, curve.value, curve.low, curve.high]);
  const data = uPlot.join(tables, tables.map((one) => one.map(() => 2)));
  const muted = hex("--muted");
  const grid = { stroke: hex("--rule"), width: 1 };
  const series = [{}];
  const bands = [];
  shown.forEach(([one], at) => {
    const [stroke, dash] = LINES[at];
    const base = series.length;
    series.push({ label: zoo.models[one.source], stroke, dash, width: 2, spanGaps: true, points: { show: true, size: 6, stroke, fill: stroke } });
    series.push({ stroke: "transparent", spanGaps: true, points: { show: false } }, { stroke: "transparent", spanGaps: true, points: { show: false } });
    bands.push({ series: [base + 2, base + 1], fill: `${stroke}22` });
    key.append(el("li", {}, el("svg", { viewBox: "0 0 34 10", "aria-hidden": "true" }, el("path", { d: "M0 5H34", stroke, "stroke-width": 2.5, "stroke-dasharray": dash.join(" ") || "none" })), nameOf(zoo.models[one.source], 24), el("span", { class: "muted" }, ` best at ${one.cutName}`)));
  });
  const axis = { stroke: muted, grid, ticks: grid, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
  const size = () => ({ width: Math.max(240, box.clientWidth), height: 320 });
  const chart = new uPlot(
    {
      ...size(),
      scales: { x: { time: false, range: (_, low, high) => [Math.min(0, low), Math.max(1, high)] } },
      legend: { show: false },
      cursor: { y: false },
      axes: [
        { ...axis, label: "depth of the cut, share of the layers", values: (_, ticks) => ticks.map((v) => percent(v)) },
        { ...axis, size: 46, values: (_, ticks) => ticks.map((v) => minus(String(v))) },
      ],
      series,
      bands,
    },
    data,
    box,
  );
  box.firstElementChild.setAttribute("role", "img");
  box.firstElementChild.setAttribute("aria-label", shown.map(([one]) => `${zoo.models[one.source]}, best at ${one.cutName}`).join("; "));
  return { chart, size };
}

function openTarget(zoo) {
  const select = $("target-name");
  select.append(...[...zoo.targets].map((target) => el("option", { value: target }, zoo.models[target])));
  const columns = [
    ["rank", "rank", "whole"],
    ["source", "source", "name"],
    ["cut", "cut at", "text"],
    ["standing", "standing", "sign"],
    ["similarity", "similarity", "interval"],
    ["p_first", "first in", "share"],
    ["cut_p_first", "its cut first in", "share"],
    ["rank_low", "rank from", "whole"],
    ["rank_high", "to", "whole"],
  ].map(([key, label, kind]) => ({ key, label, kind, digits: 3 }));
  let fill = null;
  let drawn = null;
  function choose(target, focus) {
    const rows = zoo.sources(target);
    select.value = target;
    $("target-sentence").textContent = sentenceOf(rows, zoo.models);
    $("bars").replaceChildren(...barsOf(rows, zoo.models));
    drawn?.chart.destroy();
    drawn = drawCurves($("curves"), $("curves-key"), zoo, rows);
    const ends = rows.flatMap((one) => [one.similarity, one.low, one.high, one.null]).filter(known);
    const blank = (value) => (value < 0 ? null : value);
    const cells = rows.map((one) => [one.rank, zoo.models[one.source], one.cutName, one.standing, [one.similarity, one.low, one.high, one.null], one.p_first, one.cut_p_first, blank(one.rank_low), blank(one.rank_high)]);
    const domain = [Math.min(...ends), Math.max(...ends)];
    fill = build($("sources"), "sources", `Sources for ${zoo.models[target]}${rows.length < zoo.size - 1 ? `: the first ${rows.length}` : ""}`, { columns, rows: cells, domain });
    if (focus) {
      $("target").scrollIntoView();
      select.focus();
    }
  }
  const step = (by) => {
    const at = select.selectedIndex + by;
    if (at >= 0 && at < zoo.targets.length) choose(zoo.targets[at]);
  };
  select.addEventListener("change", () => choose(Number(select.value)));
  $("target-before").addEventListener("click", () => step(-1));
  $("target-after").addEventListener("click", () => step(1));
  new ResizeObserver(() => drawn?.chart.setSize(drawn.size())).observe($("curves"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => choose(Number(select.value)));
  choose(zoo.targets[0]);
  return choose;
}
