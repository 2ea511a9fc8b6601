const data = JSON.parse($("data").textContent);
const zoo = openZoo(data);
for (const box of document.querySelectorAll("[data-table]")) {
  const name = box.dataset.table;
  if (box.hasAttribute("data-virtual")) build(box, name, box.querySelector(".scroller").getAttribute("aria-label"), withNames(data.tables[name], zoo.models));
  else enhance(box);
}
const chooseTarget = openTarget(zoo);
openMatrix(zoo, chooseTarget);
if (data.gallery) {
  openGallery(zoo, data.gallery);
  openGraphs(zoo, data.gallery);
}
openTips();
document.documentElement.dataset.ready = "";
