const data = JSON.parse($("data").textContent);
const zoo = openZoo(data);
for (const box of document.querySelectorAll("[data-table]")) {
  const name = box.dataset.table;
  if (box.hasAttribute("data-virtual")) build(box, name, box.querySelector("table").getAttribute("aria-label") ?? name, withNames(data.tables[name], zoo.models));
  else enhance(box);
}
const chooseTarget = openTarget(zoo);
const matrix = openMatrix(zoo, chooseTarget);
document.documentElement.dataset.ready = "";
