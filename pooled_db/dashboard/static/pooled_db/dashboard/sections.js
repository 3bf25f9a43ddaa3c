/* What the page says of one alias: the headline, the holders, charts and tables. */
"use strict";

const pooledSections = (() => {
  const { number, seconds, rate, plural, clock, element, svg, table } = pooledFormat;
  const SHOWN = 8; // holders; the others are counted together
  const LOANS = 15;

  /* The time below which *share* of what a histogram has counted lies; null if nothing. */
  function quantile(counts, bounds, share) {
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (!total) return null;
    let left = share * total;
    for (let at = 0; at < counts.length; at += 1) {
      if (left <= counts[at]) {
        const low = at ? bounds[at - 1] : 0;
        const high = at < bounds.length ? bounds[at] : bounds[bounds.length - 1];
        return low + (high - low) * (left / counts[at]);
      }
      left -= counts[at];
    }
    return bounds[bounds.length - 1];
  }

  function held(holder) {
    return holder.at_work + holder.others;
  }

  function headline(name, { stats, holders }) {
    const limit = stats.limit;
    if (!holders.length) return `Nobody holds a connection to ${name}.`;
    return `${holders[0].page} holds ${held(holders[0])} of ${plural(limit, "connection", "connections")}.`;
  }

  /* How those who found no server, or lost it, are counted in *stats*. */
  function unserved(stats) {
    return (stats.refused_by.unavailable || 0) + (stats.refused_by.connection_lost || 0);
  }

  /* *now* is what happened in the last seconds; null if that is not known yet. */
  function status({ stats }, now) {
    if (now && now.unserved) return ["bad", "The server cannot be reached, or breaks connections"];
    if (stats.overloaded) return ["bad", "Overloaded: requests are refused early"];
    if (stats.waiting) return ["busy", `${plural(stats.waiting, "request waits", "requests wait")}`];
    if (stats.limit && stats.in_use >= stats.limit) return ["busy", "Every connection is in use"];
    if (now && now.refused) return ["busy", "Requests were refused just now"];
    return ["good", "Nobody waits"];
  }

  /* A bar of two parts on the scale of the limit; its numbers stand beside it. */
  function bar(work, others, limit) {
    const scale = 100 / Math.max(limit, work + others, 1);
    return svg("svg", { class: "pools-hold", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "rail", width: 100, height: 10 }),
      svg("rect", { class: "work", width: work * scale, height: 10 }),
      svg("rect", { class: "rest", x: work * scale, width: others * scale, height: 10 }));
  }

  function holdersTable({ stats, holders }) {
    const shown = holders.slice(0, SHOWN);
    const rest = holders.slice(SHOWN);
    if (rest.length) {
      const add = (name) => rest.reduce((sum, one) => sum + one[name], 0);
      shown.push({
        page: plural(rest.length, "other page", "other pages"), view: "",
        at_work: add("at_work"), others: add("others"),
        longest: Math.max(...rest.map((one) => one.longest)),
      });
    }
    const rows = shown.map((one) => element("tr", {},
      element("th", { scope: "row" },
        element("strong", {}, one.page), one.view ? element("small", {}, one.view) : null),
      element("td", { class: "bar" }, bar(one.at_work, one.others, stats.limit)),
      element("td", { class: "number" },
        element("strong", {}, number(held(one))), ` of ${number(stats.limit)}`),
      element("td", { class: "number quiet" }, `${number(one.at_work)} at work`),
      element("td", { class: "number quiet" }, `longest ${seconds(one.longest)}`)));
    if (!rows.length) {
      rows.push(element("tr", {}, element("td", { colspan: 5, class: "quiet" }, "Nobody, at this moment.")));
    }
    return element("table", { class: "pools-holders" },
      element("caption", {}, "Who holds the connections"),
      element("thead", { class: "pools-unseen" }, element("tr", {},
        ...["Page", "Share", "Connections", "At work", "Held for longest"].map((title) =>
          element("th", { scope: "col" }, title)))),
      element("tbody", {}, ...rows));
  }

  function tiles({ stats }, rates) {
    const cells = [
      ["In use", `${number(stats.in_use)}`, `of ${number(stats.limit)}`],
      ["Idle", number(stats.idle), stats.granted < stats.limit ? `${number(stats.granted)} granted` : "open, nobody has them"],
      ["Waiting", number(stats.waiting), stats.waiting ? `the first for ${seconds(stats.oldest_wait)}` : "nobody"],
      ["Refused", rates === null ? "–" : `${rate(rates.refused)}/s`, `${number(stats.refused)} in all`],
    ];
    return element("dl", { class: "pools-tiles" }, ...cells.map(([title, value, note]) =>
      element("div", {}, element("dt", {}, title),
        element("dd", {}, element("strong", {}, value), " ", element("small", {}, note)))));
  }

  function loansTable({ loans }) {
    const rows = loans.slice(0, LOANS).map((loan) => [
      loan.page, seconds(loan.lent),
      loan.state === "at rest" ? `at rest for ${seconds(loan.rested)}` : loan.state,
      loan.in_transaction ? "open" : "none", loan.pid, loan.connection_id,
    ]);
    const title = loans.length > LOANS ? `The ${LOANS} longest of ${loans.length} loans` : "Loans, the longest first";
    return table(title, [["Page", false], ["Held", true], ["State", false], ["Transaction", false], ["Process", false], ["Connection", true]], rows);
  }

  function processesTable({ processes }) {
    return table("Processes of this host", [["Process", false], ["Program", false], ["Started", false], ["In use", true], ["At work", true], ["Idle", true], ["Limit", true], ["Waiting", true], ["Refused", true]],
      processes.map((one) => [one.pid, one.program, clock(one.started), one.in_use, one.at_work, one.idle, one.limit, number(one.waiting), number(one.refused)]));
  }

  function reasonsTable({ stats }) {
    const rows = [
      ...Object.entries(stats.refused_by).map(([why, count]) => [`refused: ${why.replaceAll("_", " ")}`, number(count)]),
      ["lent", number(stats.checkouts)], ["opened", number(stats.opened)],
      ...Object.entries(stats.closed).map(([why, count]) => [`closed: ${why}`, number(count)]),
      ["sessions made as new", number(stats.resets)], ["called back", number(stats.called_back)],
      ["most in use at once (sum of the processes)", number(stats.peak)],
    ];
    return table("Since the pools were made", [["What", false], ["How often", true]], rows);
  }

  function settingsTable({ settings }) {
    return table("Settings, and where each is written", [["Option", false], ["Value", false], ["Written in", false]],
      settings.map((one) => [one.name,
        one.others.length ? `${one.value}, but ${one.others.join(", ")}` : one.value, one.origin]));
  }

  function serverPart(view, time) {
    if (!view) return element("p", { class: "quiet" }, "The server has not been asked yet.");
    if (view.problem) return element("p", { class: "quiet" }, view.problem);
    const words = `${number(view.connected)} of ${number(view.max_connections)} connections at ${clock(time)}, at most ${number(view.max_used)} at once since the server started; it had no room for ${plural(view.refused, "connection", "connections")}.`;
    return element("div", {}, element("p", {}, words),
      table("Connections by account and host", [["Account", false], ["Host", false], ["Connections", true], ["At work", true]],
        view.accounts.map((one) => [one.user, one.host, number(one.connections), number(one.at_work)])));
  }

  return { quantile, unserved, headline, status, holdersTable, tiles, loansTable, processesTable, reasonsTable, settingsTable, serverPart };
})();
