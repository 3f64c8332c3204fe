// What a reader has asked for, kept in the page's address: #backbone=a&backbone=b&cell=study-0/NAME

const state = {
  get asked() { return new URLSearchParams(location.hash.slice(1)); },

  change(edit) {
    const asked = this.asked;
    edit(asked);
    const hash = asked.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    redraw();
  },

  // A key is the number of a row of content.keys: the values of a point on the axes, "" where it is open.
  test() {
    const asked = this.asked;
    const chosen = content.facets.map(facet => new Set(asked.getAll(facet.name)));
    const kept = content.keys.map(values =>
      content.facets.every((facet, axis) => {
        const value = values[facet.axis];
        return !chosen[axis].size || value === "" || chosen[axis].has(value);
      }));
    return key => kept[key];
  },
};
