// All trials of a study: some rows at a time, since there may be ten thousand.

const tables = {
  AT_ONCE: 100,
  views: {},

  build(id) {
    const table = content.tables[id], element = document.getElementById(id);
    if (!element) return;
    const view = this.views[id] ??= {up: true, shown: this.AT_ONCE};
    const head = make("tr", {});
    table.columns.forEach((column, place) => {
      const button = make("button", {type: "button", textContent: column.heading});
      button.addEventListener("click", () => {
        view.up = view.by === place ? !view.up : true;
        view.by = place;
        this.fill(id);
      });
      head.append(make("th", {scope: "col"}, button));
    });
    element.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {})));
    const section = element.closest("section");
    section.querySelector("input[type=search]").oninput = event => { view.find = event.target.value.toLowerCase(); this.fill(id); };
    section.querySelector(".more").onclick = () => { view.shown += 10 * this.AT_ONCE; this.fill(id); };
    this.fill(id);
  },

  // Numbers of the rows that are asked for, in order. What is missing stays last, whichever way the rest is sorted.
  rows(id) {
    const {columns, keys} = content.tables[id], {find, by, up} = this.views[id], keep = state.test();
    let rows = keys.map((_, row) => row).filter(row => keep(keys[row]));
    if (find) rows = rows.filter(row => columns.some(column => column.words && String(cell(column, row) ?? "").toLowerCase().includes(find)));
    if (by === undefined) return rows;
    const column = columns[by];
    const compare = column.words ? (a, b) => a.localeCompare(b, undefined, {numeric: true}) : (a, b) => a - b;
    const valued = rows.map(row => [cell(column, row), row]);
    const known = valued.filter(([value]) => value !== null).sort(([a], [b]) => (up ? 1 : -1) * compare(a, b));
    return [...known, ...valued.filter(([value]) => value === null)].map(([, row]) => row);
  },

  fill(id) {
    const {columns, keys} = content.tables[id], view = this.views[id], element = document.getElementById(id);
    if (!element) return;
    const rows = this.rows(id);
    element.querySelectorAll("th").forEach((head, place) => {
      if (place === view.by) head.setAttribute("aria-sort", view.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    element.querySelector("tbody").replaceChildren(...rows.slice(0, view.shown).map(row =>
      make("tr", {}, ...columns.map(column => this.shown(column, cell(column, row))))));
    const section = element.closest("section"), more = section.querySelector(".more");
    more.hidden = rows.length <= view.shown;
    section.querySelector(".rows").textContent =
      `${Math.min(view.shown, rows.length).toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`
      + (rows.length < keys.length ? ` (${keys.length.toLocaleString("en")} in all)` : "");
  },

  shown(column, value) {
    if (value === null) return make("td", {});
    if (column.words) return make("td", {textContent: value, className: value.length > 60 ? "long" : ""});
    const text = column.whole ? value.toLocaleString("en") : Number(value.toPrecision(4)).toString();
    return make("td", {textContent: text, className: "number"});
  },
};

// Words are stored once each: a column of them holds their numbers.
function cell(column, row) {
  const value = column.values[row];
  return value !== null && column.words ? column.words[value] : value;
}
