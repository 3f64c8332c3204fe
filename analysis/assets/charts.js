// Charts are drawn when they come into view, and again when what they show has changed; the rest when nothing else is to
// be done.

const charts = {
  settings: {
    responsive: true, displaylogo: false,
    modeBarButtons: [["toImage"]],  // dragging zooms, a double click goes back
    toImageButtonOptions: {format: "svg"},
  },
  stale: new Set(),

  watch() {
    this.observer ??= new IntersectionObserver(entries => {
      for (const entry of entries) {
        entry.target.dataset.near = entry.isIntersecting;
        if (entry.isIntersecting) this.draw(entry.target.id);
      }
    }, {rootMargin: "300px"});
    for (const element of document.querySelectorAll(".chart:not([data-near])")) {
      element.dataset.near = false;
      this.observer.observe(element);
    }
  },

  // All of them: `ids`, or every chart there is.
  refresh(ids = Object.keys(content.charts)) {
    for (const id of ids) {
      const element = document.getElementById(id);
      if (!element) continue;
      this.stale.add(id);
      element.dataset.stale = true;
      if (element.dataset.near === "true") this.draw(id);
    }
    this.idle();
  },

  idle() {
    if (this.waiting || !this.stale.size) return;
    this.waiting = true;
    requestIdleCallback(() => {
      this.waiting = false;
      const [id] = [...this.stale].filter(id => id in content.charts);
      if (!id) return;
      this.draw(id);
      this.idle();
    }, {timeout: 500});
  },

  draw(id) {
    const chart = content.charts[id], element = document.getElementById(id);
    if (!chart || !element || !this.stale.delete(id)) return;
    const keep = state.test();
    const data = chart.data.map(trace => filtered(trace, keep));
    const layout = {...chart.layout, template: content.template, uirevision: id};
    Plotly.react(element, data, layout, this.settings).then(() => {
      element.dataset.drawn = Number(element.dataset.drawn ?? 0) + 1;
      if (!this.stale.has(id)) delete element.dataset.stale;
      performance.mark("drawn");
    });
    if (!element.dataset.clickable) {
      element.dataset.clickable = true;
      element.on("plotly_click", event => {
        const {data: trace, pointNumber} = event.points[0];
        const key = trace.meta?.keys?.[pointNumber]; // a map has one key, and points in two directions
        if (key !== undefined) cells.openKey(element.closest("article").id, key);
      });
    }
  },
};

// The trace without the points that were filtered out. What is about all of the study (no keys) is left as it is, but a
// line fitted to all of it (meta.whole) is no longer about what is shown.
function filtered(coded, keep) {
  const keys = coded.meta?.keys, trace = {...coded};
  for (const name of ["text", "hovertext"])
    if (coded.meta?.[name]) trace[name] = coded.meta[name].map(number => content.words[number]);
  if (trace.meta?.whole) return {...trace, visible: content.keys.every((_, key) => keep(key)) ? trace.visible ?? true : false};
  if (!keys || keys.every(keep)) return trace;
  const places = keys.map((key, place) => keep(key) ? place : -1).filter(place => place >= 0);
  const pick = value => Array.isArray(value) && value.length === keys.length ? places.map(place => value[place]) : value;
  const inside = value => value && Object.fromEntries(Object.entries(value).map(([name, each]) => [name, pick(each)]));
  const shown = {...trace, meta: {...trace.meta, keys: pick(keys)}};
  for (const name of ["x", "y", "text", "hovertext", "customdata", "textposition"]) shown[name] = pick(trace[name]);
  for (const name of ["error_x", "error_y", "marker"]) if (trace[name]) shown[name] = inside(trace[name]);
  // A trace with no point left leaves the legend, too.
  return places.length ? shown : {...shown, visible: trace.visible === "legendonly" ? "legendonly" : false};
}

addEventListener("beforeprint", () => { for (const id of [...charts.stale]) charts.draw(id); });
