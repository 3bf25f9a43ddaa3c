/* Asks for the numbers once a second, keeps the last minutes, and shows them. */
"use strict";

(() => {
  const { number, seconds, rate, clock, plural, element } = pooledFormat;
  const sections = pooledSections;

  const EVERY = 1000; // milliseconds, as all below
  const SERVER_EVERY = 10000;
  const RENEW_EVERY = 300000;
  const SPEAK_EVERY = 20000;
  const WINDOW = 5; // seconds over which rates and wait times are taken

  const at = (id) => document.getElementById(id);
  const aliases = new Map();
  let paused = false;
  let spoken = 0;
  let last = 0;

  async function ask(what) {
    const answer = await fetch(what, { headers: { Accept: "application/json" }, cache: "no-store", credentials: "same-origin" });
    if (answer.status === 403) return { refused: true };
    if (!answer.ok) throw new Error(`the site answers with ${answer.status}`);
    return answer.status === 204 ? {} : answer.json();
  }

  function complain(text) {
    const problem = at("pools-problem");
    if (problem.textContent !== text) problem.textContent = text;
    problem.hidden = !text;
  }

  /* One alias of one host: its part of the page, and what was measured. Behind a load
     balancer the hosts answer in turn, and each is shown by itself. */
  class Alias {
    constructor(name, host) {
      this.name = name;
      this.times = [];
      this.samples = [];
      this.server = null;
      this.parts = {};
      const chart = (options) => pooledChart.create({ least: 1, format: (value) => number(Math.round(10 * value) / 10), ...options });
      this.charts = {
        use: chart({ title: "Connections", stacked: true, limit: "limit", series: [
          { name: "at work", className: "work" }, { name: "at rest", className: "rest" }, { name: "idle", className: "idle" }] }),
        waiting: chart({ title: "Waiting requests", stacked: true, least: 4, series: [{ name: "waiting", className: "waiting" }] }),
        refused: chart({ title: "Refused a second", stacked: true, series: [{ name: "refused", className: "refused" }] }),
        waits: chart({ title: "Time in line", stacked: false, least: 0.01, format: (value) => seconds(value), series: [
          { name: "half below", className: "half" }, { name: "95 % below", className: "most" }] }),
      };
      const part = (name, ...classes) => {
        this.parts[name] = element("div", { class: classes.join(" ") });
        return this.parts[name];
      };
      const id = `pools-of-${name}-on-${host}`;
      this.status = element("span", { class: "pools-status" });
      this.headline = element("p", { class: "pools-headline" });
      const details = (title, ...inside) => element("details", {}, element("summary", {}, title), ...inside);
      this.section = element("section", { "aria-labelledby": id },
        element("h2", { id }, `${name} on ${host}`, " ", this.status), this.headline,
        part("holders"), part("tiles"),
        element("div", { class: "pools-charts" }, ...Object.values(this.charts).map((one) => one.figure)),
        element("h3", {}, "Loans"), part("loans", "shown"),
        element("h3", {}, "Processes"), part("processes"),
        element("h3", {}, "The server’s own view"), part("server"),
        details("Counters", part("reasons")),
        details("Settings", part("settings")));
    }

    keep(time, told) {
      this.told = told;
      this.times.push(time);
      this.samples.push(told.stats);
      while (this.times[0] < time - pooledChart.SPAN) {
        this.times.shift();
        this.samples.shift();
      }
    }

    /* What happened in the seconds before the sample *at*; null if nothing is known. */
    before(at) {
      let from = at;
      while (from > 0 && this.times[at] - this.times[from] < WINDOW) from -= 1;
      const over = this.times[at] - this.times[from];
      if (!over) return null;
      const [old, now] = [this.samples[from], this.samples[at]];
      const counts = now.waits.counts.map((count, bucket) => Math.max(0, count - old.waits.counts[bucket]));
      const since = (count) => Math.max(0, count(now) - count(old)) / over;
      return { refused: since((stats) => stats.refused), unserved: since(sections.unserved), lent: since((stats) => stats.checkouts), counts, bounds: now.waits.bounds };
    }

    show() {
      const { told, times, samples, charts } = this;
      const { stats } = told;
      this.headline.textContent = sections.headline(this.name, told);
      const moments = times.map((_, index) => this.before(index));
      const now = moments[moments.length - 1];
      const [mood, words] = sections.status(told, now);
      this.status.textContent = words;
      this.status.dataset.mood = mood;
      this.fill("holders", sections.holdersTable(told));
      this.fill("tiles", sections.tiles(told, now));
      this.fill("loans", sections.loansTable(told));
      this.fill("processes", sections.processesTable(told));
      this.fill("reasons", sections.reasonsTable(told));
      this.fill("settings", sections.settingsTable(told));
      const each = (name) => samples.map((one) => one[name]);
      charts.use.draw(times, { "at work": each("at_work"), "at rest": each("at_rest"), idle: each("idle") },
        `${number(stats.in_use)} in use, ${number(stats.idle)} idle`, stats.limit);
      charts.waiting.draw(times, { waiting: each("waiting") }, number(stats.waiting));
      charts.refused.draw(times, { refused: moments.map((one) => one && one.refused) }, now ? rate(now.refused) : "–");
      const part = (share) => moments.map((one) => one && sections.quantile(one.counts, one.bounds, share));
      const [half, most] = [part(0.5), part(0.95)];
      charts.waits.draw(times, { "half below": half, "95 % below": most },
        now ? `95 % below ${seconds(most[most.length - 1])}` : "–");
    }

    /* Replace a part, but for one in which somebody is just reading. */
    fill(name, content) {
      const part = this.parts[name];
      const scrolled = part.firstElementChild ? part.firstElementChild.scrollLeft : 0;
      const focused = part.contains(document.activeElement);
      part.replaceChildren(content);
      content.scrollLeft = scrolled;
      if (focused && content.tabIndex === 0) content.focus({ preventScroll: true });
    }

    tellServer(view, time) {
      // What it said last is better than why it was not asked.
      if (view.problem && this.server && !this.server.view.problem) {
        const known = sections.serverPart(this.server.view, this.server.time);
        this.fill("server", element("div", {}, element("p", { class: "quiet" }, view.problem), known));
      } else {
        this.server = { view, time };
        this.fill("server", sections.serverPart(view, time));
      }
    }

    speak() {
      const { stats } = this.told;
      return `${this.name}: ${sections.headline(this.name, this.told)} ${plural(stats.waiting, "waits", "wait")}.`;
    }
  }

  function show(told) {
    last = told.time;
    complain(told.problem || "");
    for (const [name, one] of Object.entries(told.aliases)) {
      const key = `${told.host} ${name}`;
      if (!aliases.has(key)) {
        const alias = new Alias(name, told.host);
        aliases.set(key, alias);
        at("pools-aliases").append(alias.section);
      }
      const alias = aliases.get(key);
      alias.keep(told.time, one);
      alias.show();
      if (!alias.server) alias.fill("server", sections.serverPart(null));
    }
    const processes = new Set(Object.values(told.aliases).flatMap((one) => one.processes.map((process) => `${process.host} ${process.pid}`)));
    at("pools-when").textContent = `${clock(told.time)}, ${plural(processes.size, "process", "processes")} of ${told.host}`;
    if (!aliases.size && !told.problem) {
      at("pools-when").textContent += ": no pool has been used yet";
    }
    if (Date.now() - spoken > SPEAK_EVERY) {
      spoken = Date.now();
      at("pools-spoken").textContent = [...aliases.values()].map((one) => one.speak()).join(" ");
    }
  }

  async function look() {
    if (paused || document.hidden) return;
    try {
      let told = await ask("data");
      if (told.refused && !(await ask("renew")).refused) told = await ask("data");
      if (told.refused) {
        complain("You may not see the pools any more. Reload the page to log in.");
      } else {
        show(told);
      }
    } catch (error) {
      complain(`No numbers since ${last ? clock(last) : "the page was opened"}: ${error.message}. What is shown is of then.`);
    }
  }

  async function askServer() {
    if (paused || document.hidden) return;
    try {
      const told = await ask("server");
      for (const [name, view] of Object.entries(told.aliases || {})) {
        for (const alias of aliases.values()) {
          if (alias.name === name) alias.tellServer(view, told.time);
        }
      }
    } catch {
      // The next look at the pools says what is wrong.
    }
  }

  /* One after the other: a slow site is not asked twice at once. */
  async function forever(what, every) {
    for (;;) {
      await what();
      await new Promise((done) => { setTimeout(done, every); });
    }
  }

  at("pools-pause").addEventListener("click", (event) => {
    paused = !paused;
    event.target.setAttribute("aria-pressed", String(paused));
  });
  document.addEventListener("visibilitychange", look);
  forever(look, EVERY);
  setTimeout(() => forever(askServer, SERVER_EVERY), EVERY);
  setInterval(() => ask("renew").catch(() => {}), RENEW_EVERY);
})();
