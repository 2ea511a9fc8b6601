// Elements, numbers and names as the page shows them. Text is always set as text, never as markup.
const $ = (id) => document.getElementById(id);

function el(tag, attributes, ...children) {
  const svg = /^(svg|path|circle|line|rect)$/.test(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);
const minus = (text) => text.replace("-", "−");

function fixed(value, digits = 3) {
  if (!known(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : minus(text);
}

const grouped = (value) => (known(value) ? minus(String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f")) : "–");
const percent = (value) => (known(value) ? `${(100 * value).toFixed(0)} %` : "–");

function short(text, length = 34) {
  if (text.length <= length) return text;
  const tail = Math.floor(length / 3);
  return `${text.slice(0, length - tail - 1)}…${text.slice(-tail)}`;
}

// A name: whole on hover and focus where it is shortened.
function nameOf(text, length) {
  const cut = short(text, length);
  return cut === text ? document.createTextNode(text) : el("span", { class: "name", tabindex: 0, "data-full": text }, cut);
}

// One tip for all shortened names: above every cut-off and scrolled box.
function openTips() {
  const tip = el("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
  document.body.append(tip);
  const show = (event) => {
    const name = event.target.closest?.("[data-full]");
    tip.hidden = !name;
    if (!name) return;
    tip.textContent = name.dataset.full;
    name.setAttribute("aria-describedby", "tip");
    const at = name.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
    tip.style.top = `${at.bottom + 6 + size.height > innerHeight ? at.top - size.height - 6 : at.bottom + 6}px`;
  };
  const hide = () => (tip.hidden = true);
  document.addEventListener("pointerover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", hide, { capture: true, passive: true });
}

function list(names, most = 3) {
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return names.slice(0, most).join(", ") + more;
}

function download(name, text, type) {
  const link = el("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A colour of the style sheet as [r, g, b].
function rgb(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

const hex = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Sizes a canvas for the screen's pixels and returns its context in CSS pixels.
function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
