/* Charts over the last minutes, and the numbers behind them as tables. */
"use strict";

const pooledChart = (() => {
  const { element, svg, table, clock, seconds } = pooledFormat;

  const HEIGHT = 132, LEFT = 52, BOTTOM = 20, TOP = 8; // as dashboard.css has it
  const SPAN = 300, SHORTEST = 60; // seconds
  const ROWS = 30; // of the table

  /* The least round number that is not below value. */
  function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
  }

  /* series: [{name, className, values}] over times; stacked areas or lines; limit is a
     line of its own, if it is not null. */
  function create(options) {
    const { title, series, stacked, format, least } = options;
    const now = element("span", { class: "pools-now" });
    const picture = svg("svg", { role: "img", class: "pools-chart" });
    const keys = series.length > 1 || options.limit
      ? element("ul", { class: "pools-keys", "aria-hidden": "true" },
        ...series.map((one) => element("li", {}, element("span", { class: `key ${one.className}` }), one.name)),
        options.limit ? element("li", {}, element("span", { class: "key limit" }), options.limit) : null)
      : null;
    const values = element("div");
    const behind = element("details", {}, element("summary", {}, `${title}: as a table`), values);
    const figure = element("figure", {},
      element("figcaption", {}, element("h4", {}, title), now), picture, keys, behind);
    let last = null;
    let pointed = null; // where the pointer is, from 0 to 1
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      pointed = (event.clientX - box.left) / box.width;
      if (last) draw(...last.drawn);
    });
    picture.addEventListener("pointerleave", () => {
      pointed = null;
      if (last) draw(...last.drawn);
    });
    behind.addEventListener("toggle", () => last && fill());

    function fill() {
      if (!behind.open) return;
      const { times, points } = last;
      const step = Math.max(1, Math.ceil(times.length / ROWS));
      const rows = [];
      for (let at = times.length - 1; at >= 0; at -= step) {
        rows.push([clock(times[at]), ...series.map((one) => format(points[one.name][at]))]);
      }
      values.replaceChildren(table(title, [["Time", false], ...series.map((one) => [one.name, true])], rows));
    }

    /* points: values by the name of the series, null where there is none. */
    function draw(times, points, words, limit = null) {
      last = { times, points, drawn: [times, points, words, limit] };
      const width = picture.clientWidth || 480;
      picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      now.textContent = words;
      const stacks = times.map((_, at) =>
        series.map((one) => points[one.name][at] ?? 0));
      const heights = stacks.map((one) => stacked
        ? one.reduce((sum, value) => sum + value, 0) : Math.max(...one));
      const peak = Math.max(least, limit ?? 0, ...heights);
      const top = roundUp(peak);
      const end = times[times.length - 1];
      const span = Math.min(SPAN, Math.max(SHORTEST, end - times[0]));
      const x = (time) => LEFT + (width - LEFT) * (1 - (end - time) / span);
      const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
      picture.setAttribute("aria-label", `${title}: now ${words}; at most ${format(Math.max(0, ...heights))} in the last ${seconds(span)}. The table below has the numbers.`);
      picture.replaceChildren(
        ...[0, top / 2, top].flatMap((value) => [
          svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
          svg("text", { class: "axis", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)),
        ]),
        svg("text", { class: "axis", x: LEFT, y: HEIGHT - 4 }, `${Math.round(span / 60)} min ago`),
        svg("text", { class: "axis", x: width, y: HEIGHT - 4, "text-anchor": "end" }, "now"),
        ...(stacked ? areas(times, stacks, x, y) : lines(times, points, x, y)),
        ...(limit === null ? [] : [svg("line", { class: "limit", x1: LEFT, x2: width, y1: y(limit), y2: y(limit) })]));
      if (pointed !== null) point(times, points, x, width);
      fill();
    }

    /* Tell the values of the moment that the pointer is at. */
    function point(times, points, x, width) {
      const distance = (time) => Math.abs(x(time) - pointed * width);
      const nearest = times.reduce((best, time, index) => (distance(time) < distance(times[best]) ? index : best), 0);
      const at = x(times[nearest]);
      picture.append(svg("line", { class: "pointer", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }));
      const told = series.map(({ name }) => `${name} ${points[name][nearest] === null ? "–" : format(points[name][nearest])}`);
      now.textContent = `${clock(times[nearest])}: ${told.join(", ")}`;
    }

    function areas(times, stacks, x, y) {
      const floor = times.map(() => 0);
      return series.map((one, index) => {
        const lower = times.map((time, at) => `${x(time).toFixed(1)},${y(floor[at]).toFixed(1)}`);
        times.forEach((_, at) => { floor[at] += stacks[at][index]; });
        const upper = times.map((time, at) => `${x(time).toFixed(1)},${y(floor[at]).toFixed(1)}`);
        return svg("polygon", { class: `area ${one.className}`, points: [...upper, ...lower.reverse()].join(" ") });
      });
    }

    function lines(times, points, x, y) {
      return series.map((one) => {
        const path = [];
        let pen = "M";
        times.forEach((time, at) => {
          const value = points[one.name][at];
          if (value === null) { pen = "M"; return; }
          path.push(`${pen}${x(time).toFixed(1)},${y(value).toFixed(1)}`);
          pen = "L";
        });
        return svg("path", { class: `line ${one.className}`, d: path.join("") });
      });
    }

    return { figure, draw };
  }

  return { create, SPAN };
})();
