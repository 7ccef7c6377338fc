// The console's script: pages work without it. It keeps a page fresh and its name in sight, shows events as they come,
// selects all.
"use strict";

// The part of a page that says so is read again, as long as the page is seen and nobody is in it.
for (const part of document.querySelectorAll("[data-refresh]")) {
  const again = async () => {
    const here = document.querySelector("[data-refresh]");
    if (!here) return;
    const busy = here.contains(document.activeElement) || !document.getSelection().isCollapsed;
    if (!document.hidden && !busy) {
      try {
        const answer = await fetch(location.href, { redirect: "manual", headers: { accept: "text/html" } });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = page.querySelector("#main > div");
          if (fresh) here.replaceWith(document.adoptNode(fresh));
          if (!fresh || !fresh.dataset.refresh) return;
        } else if (answer.type === "opaqueredirect") {
          location.reload();
          return;
        }
      } catch {
        // The sidecar is away, or restarts: the next time.
      }
    }
    setTimeout(again, 1000 * (here.dataset.refresh || 10));
  };
  setTimeout(again, 1000 * part.dataset.refresh);
}

// On a narrow screen the row of pages scrolls: the one that is open is in sight.
document.querySelector(".bar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

// One box for all boxes of a list.
for (const all of document.querySelectorAll("[data-all]")) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of document.getElementsByName(all.dataset.all)) box.checked = all.checked;
  });
}

// The events of the chosen source alone.
for (const source of document.querySelectorAll("[data-events]")) {
  const list = document.getElementById(source.dataset.events);
  const options = [...list.children];
  const show = () => list.replaceChildren(...options.filter((one) => one.dataset.source === source.value));
  source.addEventListener("change", show);
  show();
}

// Events as they come. Everything in them is text.
const MOST = 200;
const live = document.querySelector("[data-live]");

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function outcome(kind, word, hook, to, why) {
  const line = element("li");
  line.append(element("span", word, { class: `state ${kind}` }), " ", element("a", hook.name || hook.id, { href: to }));
  if (why) line.append(`: ${why}`);
  return line;
}

function shown(event) {
  const card = element("li", "", { class: "card new" });
  const name = event.event === event.source ? event.source : `${event.source} / ${event.event}`;
  card.append(element("h2", name), element("p", new Date(event.time * 1000).toLocaleTimeString(), { class: "since" }));
  const list = element("ul", "", { class: "outcomes" });
  for (const one of event.fired) {
    list.append(outcome("on", "fired", one.event_hook, `/console/deliveries/${encodeURIComponent(one.delivery)}`));
  }
  for (const one of event.held_back) {
    const to = `/console/hooks/${encodeURIComponent(one.event_hook.id)}`;
    list.append(outcome("off", "held back", one.event_hook, to, one.reason));
  }
  const details = element("details");
  details.append(element("summary", "Data"));
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1) {
      details.append(element("pre", JSON.stringify(event.data, null, 2).slice(0, 20000), { tabindex: "0" }));
    }
  });
  card.append(list, details);
  return card;
}

if (live) {
  const state = document.querySelector("[data-live-state]");
  const pause = document.querySelector("[data-live-pause]");
  const empty = document.querySelector("[data-live-empty]");
  const say = (kind, word) => {
    state.className = `state ${kind}`;
    state.textContent = word;
  };
  let paused = false;
  let waiting = [];
  const put = (event) => {
    empty.hidden = true;
    live.prepend(shown(event));
    while (live.childElementCount > MOST) live.lastElementChild.remove();
  };
  state.hidden = pause.hidden = false;
  say("off", "connecting");
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (!paused) {
      waiting.forEach(put);
      waiting = [];
    }
  });
  const source = new EventSource(live.dataset.live);
  source.addEventListener("open", () => say("on", "connected"));
  source.addEventListener("error", () => say("held", source.readyState === 2 ? "ended: reload the page" : "reconnecting"));
  source.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    if (paused) waiting = [...waiting, event].slice(-MOST);
    else put(event);
  });
  source.addEventListener("missed", (message) => {
    const { count } = JSON.parse(message.data);
    live.prepend(element("li", count === null ? "Some events were missed." : `${count} events were missed.`, { class: "none" }));
  });
}
