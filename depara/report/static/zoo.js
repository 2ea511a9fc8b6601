// The scan's numbers: scores between output graphs, the sources of each target, layer curves.
function openZoo(data) {
  const size = data.models.length;
  const matrices = {};
  const part = (name) => (matrices[name] ??= unpackMatrix(data.scores[name], size));
  const { pairs } = data;
  const pairStart = starts(wholes(pairs.count));
  const targets = wholes(data.targets);
  const columns = {};
  for (const name of ["source", "rank_low", "rank_high", "cut", "standing"]) columns[name] = wholes(pairs[name]);
  for (const name of ["similarity", "low", "high", "p_first", "cut_p_first", "null"]) columns[name] = unpack(pairs[name]);
  const layerCount = wholes(data.layers.count);
  const layerStart = starts(layerCount);
  const layerName = wholes(data.layers.name);
  const depth = unpack(data.layers.depth);
  const place = new Int32Array(size).fill(-1);
  targets.forEach((target, at) => (place[target] = at));
  const curveStart = new Map();
  let at = 0;
  for (let t = 0; t < targets.length; t++)
    for (let p = pairStart[t]; p < Math.min(pairStart[t + 1], pairStart[t] + pairs.curves.most); p++) {
      curveStart.set(p, at);
      at += layerCount[columns.source[p]];
    }
  let curves = null;

  const layer = (model, cut) => data.layers.names[layerName[layerStart[model] + cut]];

  // The terms by their weights, the edges by lambda; edges alone at infinity; or any other score.
  const edges = "edge_similarity";
  const ownLambda = data.terms[edges] ?? 0;
  const others = Object.entries(data.terms).filter(([name, weight]) => name !== edges && weight > 0);
  function score(name, lambda) {
    if (name !== "similarity") return part(name);
    const edge = part(edges);
    if (lambda === Infinity) return edge;
    const found = new Float32Array(edge.length);
    for (let i = 0; i < found.length; i++) found[i] = lambda * edge[i];
    for (const [other, weight] of others) {
      const values = part(other);
      for (let i = 0; i < found.length; i++) found[i] += weight * values[i];
    }
    return found;
  }

  // By how much two values of a score may differ for their quantisation alone.
  function precision(name, lambda) {
    const step = (one) => data.scores[one].step;
    if (name !== "similarity") return step(name);
    if (lambda === Infinity) return step(edges);
    return others.reduce((sum, [other, weight]) => sum + weight * step(other), lambda * step(edges));
  }

  const scanFirsts = new Int32Array(size).fill(-1);
  targets.forEach((target, t) => (scanFirsts[target] = columns.source[pairStart[t]]));

  // In one pass: the best source of every target, the scan's where both are alike within the
  // precision, -1 where there is none; the mean of every source and target; the range.
  function survey(values, within) {
    const found = { firsts: new Int32Array(size).fill(-1), source: new Float64Array(size), target: new Float64Array(size), low: Infinity, high: -Infinity };
    const counts = new Int32Array(size);
    for (let t = 0, i = 0; t < size; t++) {
      let [best, first, sum, count] = [-Infinity, -1, 0, 0];
      for (let s = 0; s < size; s++, i++) {
        const value = values[i];
        if (value !== value) continue;
        if (value > best) [best, first] = [value, s];
        if (value < found.low) found.low = value;
        found.source[s] += value;
        counts[s]++;
        sum += value;
        count++;
      }
      const own = scanFirsts[t];
      found.firsts[t] = own >= 0 && best - values[t * size + own] <= within ? own : first;
      found.target[t] = count ? sum / count : NaN;
      if (best > found.high) found.high = best;
    }
    for (let s = 0; s < size; s++) found.source[s] = counts[s] ? found.source[s] / counts[s] : NaN;
    return found;
  }

  // The first sources of a target at the scan's lambda, with what resampling says.
  function sources(target) {
    const t = place[target];
    const found = [];
    if (t < 0) return found;
    for (let p = pairStart[t]; p < pairStart[t + 1]; p++) {
      const one = { pair: p, rank: p - pairStart[t] + 1 };
      for (const [name, column] of Object.entries(columns)) one[name] = column[p];
      one.cutName = layer(one.source, one.cut);
      one.standing = ["first", "as good", "behind", "out"][one.standing];
      found.push(one);
    }
    return found;
  }

  // What simpler scores would start from: [label, source].
  const simple = Object.entries(data.baselines).map(([label, column]) => [label, wholes(column)]);
  const baselines = (target) => simple.map(([label, firsts]) => [label, firsts[place[target]]]).filter((pair) => pair[1] >= 0);

  function curve(one) {
    const start = curveStart.get(one.pair);
    if (start === undefined) return null;
    curves ??= { value: unpack(pairs.curves.value), low: unpack(pairs.curves.low), high: unpack(pairs.curves.high) };
    const count = layerCount[one.source];
    const cut = (column) => Array.from(column.subarray(start, start + count), (v) => (Number.isNaN(v) ? null : v));
    const first = layerStart[one.source];
    return { depth: Array.from(depth.subarray(first, first + count)), value: cut(curves.value), low: cut(curves.low), high: cut(curves.high) };
  }

  return { size, models: data.models, lambda: ownLambda, order: wholes(data.order), targets, place, score, precision, scanFirsts, survey, sources, baselines, curve, layer, names: Object.keys(data.scores), meanings: data.meanings, leftOut: data.left_out };
}
