// The bar over the page: an axis of the grid each, narrowed down by ticking values.

const filters = {
  build() {
    const bar = document.getElementById("filters");
    const facets = JSON.stringify(content.facets);
    if (this.built === facets) return;
    this.built = facets;
    bar.hidden = !content.facets.length;
    const lists = content.facets.map(facet => {
      const box = make("details", {className: "facet"});
      const list = make("fieldset", {}, make("legend", {textContent: facet.label, className: "unseen"}));
      for (const value of facet.values) {
        const tick = make("input", {type: "checkbox", name: facet.name, value});
        list.append(make("label", {}, tick, ` ${value}`));
      }
      box.append(make("summary", {}, facet.label, make("span", {className: "count"})), list);
      return box;
    });
    const clear = make("button", {type: "button", textContent: "Show all", id: "clear"});
    clear.addEventListener("click", () => state.change(asked => content.facets.forEach(({name}) => asked.delete(name))));
    bar.replaceChildren(make("span", {className: "name", textContent: "Show"}), ...lists, clear,
      make("span", {id: "shown", role: "status"}));
    bar.onchange = event => state.change(asked => {
      const {name} = event.target;
      asked.delete(name);
      for (const tick of bar.querySelectorAll(`input[name="${name}"]:checked`)) asked.append(name, tick.value);
    });
    this.follow();
  },

  // The ticks are what the address says.
  follow() {
    const asked = state.asked;
    let any = false;
    for (const box of document.querySelectorAll("#filters .facet")) {
      const ticks = [...box.querySelectorAll("input")];
      for (const tick of ticks) tick.checked = asked.getAll(tick.name).includes(tick.value);
      const ticked = ticks.filter(tick => tick.checked);
      any ||= ticked.length > 0;
      box.querySelector(".count").textContent = ticked.length ? `: ${ticked.map(tick => tick.value).join(", ")}` : "";
    }
    const clear = document.getElementById("clear");
    if (clear) clear.hidden = !any;
  },

  say(shown, all) {
    const status = document.getElementById("shown");
    if (status) status.textContent = shown === all ? "" : `${shown} of ${all} trials`;
  },
};

// A list that is open closes when something else is clicked, or on Escape.
document.addEventListener("click", event => {
  for (const box of document.querySelectorAll("#filters .facet[open]")) if (!box.contains(event.target)) box.open = false;
});
document.addEventListener("keydown", event => {
  const open = event.key === "Escape" && document.querySelector("#filters .facet[open]");
  if (open) { open.open = false; open.querySelector("summary").focus(); }
});

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
