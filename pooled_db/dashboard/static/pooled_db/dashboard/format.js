/* Numbers into words, and elements of the page. */
"use strict";

const pooledFormat = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function number(value) {
    return value.toLocaleString("en");
  }

  function seconds(value) {
    if (value === null || value === undefined) return "–";
    if (value < 0.0005) return "0 ms";
    if (value < 1) return `${(1000 * value).toFixed(value < 0.01 ? 1 : 0)} ms`;
    if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
    if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
    return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  }

  function rate(value) {
    return value > 0 && value < 10 ? value.toFixed(1) : number(Math.round(value));
  }

  function plural(value, one, many) {
    return `${number(value)} ${value === 1 ? one : many}`;
  }

  function clock(time) {
    return new Date(1000 * time).toLocaleTimeString("en-GB");
  }

  /* An element with a class, attributes and children; text is never taken for HTML. */
  function element(name, attributes = {}, ...children) {
    return filled(document.createElement(name), attributes, children);
  }

  function svg(name, attributes = {}, ...children) {
    return filled(document.createElementNS(SVG, name), attributes, children);
  }

  function filled(made, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  /* A table with a caption; columns are [title, is it a number]. */
  function table(caption, columns, rows) {
    const head = columns.map(([title, numeric]) =>
      element("th", { scope: "col", class: numeric ? "number" : null }, title));
    const body = rows.map((row) => element("tr", {}, ...row.map((cell, index) =>
      element(index ? "td" : "th", {
        scope: index ? null : "row",
        class: columns[index][1] ? "number" : null,
      }, cell instanceof Node ? cell : String(cell)))));
    if (!body.length) {
      body.push(element("tr", {}, element("td", { colspan: columns.length, class: "quiet" }, "None, at this moment.")));
    }
    return element("div", { class: "pools-table", tabindex: "0", role: "region", "aria-label": caption },
      element("table", {},
        element("caption", {}, caption),
        element("thead", {}, element("tr", {}, ...head)),
        element("tbody", {}, ...body)));
  }

  return { number, seconds, rate, plural, clock, element, svg, table };
})();
