// From what the page holds to what it shows; at first, on every change of the address, and on news of a running study.

let content;  // as in analysis/page/content.py

// What the page carries is gzipped, in base64.
async function unpacked(element) {
  const bytes = Uint8Array.from(atob(element.textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// What the reader asked for has changed: everything follows.
function redraw() {
  filters.follow();
  charts.refresh();
  cells.show();
  for (const id of Object.keys(content.tables)) tables.fill(id);
  count();
}

function count() {
  const keep = state.test(), keys = Object.values(content.tables).flatMap(table => table.keys);
  filters.say(keys.filter(keep).length, keys.length);
}

// These pieces are new: they are built, and nothing else is touched.
function build(pieces) {
  filters.build();
  charts.watch();
  charts.refresh(Object.keys(pieces.charts));
  for (const id of Object.keys(pieces.tables)) tables.build(id);
  cells.show();
  count();
}

// News: {revision, sections: {article: [[id, kind, html or null where it is as before], ...]}, and the rest as in content}.
function update(news) {
  for (const [article, sections] of Object.entries(news.sections ?? {})) {
    const grid = document.querySelector(`#${article} > .grid`);
    const wanted = new Set(sections.map(([id]) => id));
    for (const old of [...grid.children]) if (!wanted.has(old.id)) old.remove();
    sections.forEach(([id, kind, html], place) => {
      let section = document.getElementById(id);
      if (!section) section = make("section", {id});
      if (grid.children[place] !== section) grid.insertBefore(section, grid.children[place] ?? null);
      section.className = kind;
      if (html === null) return;
      const drawn = [...section.querySelectorAll(".chart, .cell-view, .trials, input")];
      section.innerHTML = html;
      // What a reader looks at, or has typed, stays where it is.
      for (const old of drawn) if (old.id) document.getElementById(old.id)?.replaceWith(old);
    });
  }
  content.revision = news.revision;
  Object.assign(content.charts, news.charts);
  Object.assign(content.tables, news.tables);
  for (const name of ["facets", "keys", "words", "template", "cellLayouts"]) if (news[name]) content[name] = news[name];
  for (const [name, piece] of Object.entries(news.cells ?? {})) {
    content.cells[name] = piece;
    for (const view of document.querySelectorAll(".cell-view")) if (view.dataset.shown === name) view.dataset.old = true;
  }
  build(news);
}

// The address says what is shown; where to look is not kept in it.
document.addEventListener("click", event => {
  const link = event.target.closest("nav a");
  if (!link) return;
  event.preventDefault();
  document.querySelector(link.hash).scrollIntoView({behavior: "smooth"});
});
// For analysis.serve, whose server knows by the revision what is news.
window.studyPage = {get revision() { return content?.revision ?? null; }, update};

unpacked(document.getElementById("content")).then(found => {
  content = {...found, cells: {}};
  build(content);
  addEventListener("hashchange", redraw);
});
