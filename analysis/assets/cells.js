// One cell, looked into: its distilled images, its labels, its HM(delta). Each cell's piece is unpacked when it is chosen.

// Cells are the last thing in the file: with thousands, charts are drawn while these are still read.
const parsed = new Promise(resolve => document.addEventListener("DOMContentLoaded", resolve));

const cells = {
  async read(name) {
    if (name in content.cells) return content.cells[name];
    const find = () => document.querySelector(`script[data-cell="${CSS.escape(name)}"]`);
    if (!find() && document.readyState === "loading") await parsed;
    return find() && unpacked(find());
  },

  // The cell asked for in an article, or the first; neither where it is filtered out.
  chosen(article) {
    const asked = state.asked.get("cell");
    const options = [...document.querySelectorAll(`select[data-cells="${article}"] option`)];
    if (asked?.startsWith(`${article}/`) && !options.find(option => option.value === asked)?.hidden) return asked;
    return options.find(option => !option.hidden)?.value ?? "";
  },

  show() {
    document.querySelectorAll("select[data-cells]").forEach(menu => this.showIn(menu));
  },

  async showIn(menu) {
    const article = menu.dataset.cells, view = document.getElementById(`${article}-cell-view`);
    const keep = state.test();
    for (const option of menu.options) option.hidden = !keep(option.dataset.key);
    const name = this.chosen(article);
    // News of a running study may have made the menu anew, while what it shows stays.
    if (!name || [...menu.options].some(option => option.value === name)) menu.value = name;
    if (view.dataset.shown === name && !view.dataset.old) return;
    view.dataset.shown = name;
    delete view.dataset.old;
    const piece = await this.read(name);
    if (view.dataset.shown !== name) return;  // another was chosen meanwhile
    const id = `${article}-cell-chart`;
    content.charts[id] = {data: piece?.data ?? [], layout: content.cellLayouts[article]};
    charts.refresh([id]);
    if (!piece) {
      view.textContent = name ? "This page has no such cell; choose one above." : "No cell is left.";
      return;
    }
    view.innerHTML = piece.html;  // escaped where it was made
    this.contrast(article);
  },

  contrast(article) {
    const {value} = document.getElementById(`${article}-contrast`);
    document.getElementById(`${article}-cell-view`).style.setProperty("--contrast", value);
  },

  open(name) {
    state.change(asked => asked.set("cell", name));
    document.getElementById(`${name.split("/")[0]}-cell`).scrollIntoView({behavior: "smooth"});
  },

  // The first cell with these values on the axes: a point may stand for several.
  openKey(article, key) {
    const wanted = content.keys[key];
    const menu = document.querySelector(`select[data-cells="${article}"]`);
    const found = [...menu?.options ?? []].find(option => !option.hidden &&
      content.keys[option.dataset.key].every((value, axis) => wanted[axis] === "" || value === "" || wanted[axis] === value));
    if (found) this.open(found.value);
  },
};

document.addEventListener("change", event => {
  if (event.target.matches("select[data-cells]")) state.change(asked => asked.set("cell", event.target.value));
});
document.addEventListener("input", event => {
  if (event.target.matches("input.contrast")) cells.contrast(event.target.closest("article").id);
});
