// What a signal means for the page that is open: read again, so that permission is checked again.
const items = $("#items");
const live = items && items.dataset.live;
let waiting = []; // articles that came, the newest first; nobody is moved before they ask for them
let [pill, beyond] = [null, false]; // there is more than was counted

function count() {
  if (!waiting.length) { pill?.remove(); pill = null; return; }
  if (!pill) document.body.append(pill = made("button", { id: "pill", className: "pill", onclick: show }));
  const text = words.new.replace("%s", waiting.length + (beyond ? "+" : ""));
  if (pill.textContent !== text) say(pill.textContent = text);
}
/* The one key, or press, that shows what came. */
function show() {
  if (!waiting.length) return;
  const [first] = waiting;
  $(".empty")?.remove();
  for (const one of waiting) document.getElementById(one.dataset.replaces)?.remove();
  items.prepend(...waiting);
  waiting.forEach((one) => htmx.process(one));
  waiting = [];
  count();
  scrollTo({ top: 0, behavior: "instant" });
  first.focus({ preventScroll: true });
  document.dispatchEvent(new Event("tidings:moved"));
}

const known = (id) => document.getElementById(id) || waiting.some((one) => one.id === id);
/* The feed goes on from its cursor until there is nothing more. */
async function newerFeed() {
  const way = $("#newer");
  for (let page = 0; page < 10; page += 1) {
    const found = await getPage(`/feed?cursor=${encodeURIComponent(way.dataset.cursor)}`);
    whole(found);
    const fresh = $$("#items > .message", found).filter((one) => !known(one.id));
    way.dataset.cursor = $("#newer", found).dataset.cursor || way.dataset.cursor;
    waiting = [...fresh.map((one) => document.adoptNode(one)), ...waiting];
    beyond = fresh.length > 0;
    if (!beyond) break;
  }
  count();
}
/* The timeline has one entry a friend: a newer one takes the place of the one before. */
const told = (one) => one.dataset.version + $(".who", one).innerHTML;
async function newerTimeline() {
  const found = await getPage("/");
  whole(found);
  const fresh = $$("#items > .message", found);
  const authors = new Set(fresh.map((one) => one.dataset.author));
  if ($("a#older", found)) await recheck(); // who is not on this page may only have said something longer ago
  else for (const one of $$("#items > .message")) if (!authors.has(one.dataset.author)) without_moving(() => one.remove());
  waiting = [];
  for (const one of fresh) {
    const shown = document.getElementById(one.id);
    const old = $(`#items > .message[data-author="${one.dataset.author}"]`);
    if (shown) { if (told(shown) !== told(one)) put(shown, one); }
    else if (old && old.dataset.id > one.dataset.id) put(old, one); // what was newer is gone
    else { if (old) one.dataset.replaces = old.id; waiting.push(document.adoptNode(one)); }
  }
  count();
}

async function newerReplies() {
  const found = await getPage(location.pathname + location.search);
  for (const one of $$("#items > .message", found)) if (!known(one.id)) { items.append(document.adoptNode(one)); htmx.process(one); }
}
/* Whatever is on the page and may not be seen any more goes; what changed is read anew. */
async function recheck() {
  const shown = $$(".message[data-id]").concat(waiting);
  for (let at = 0; at < shown.length; at += 100) {
    const part = shown.slice(at, at + 100);
    const found = await (await get(`/v1/messages?limit=100&ids=${part.map((one) => one.dataset.id).join(",")}`)).json();
    const now = new Map(found.messages.map((one) => [one.message.id, one]));
    for (const one of part) {
      const there = now.get(one.dataset.id);
      if (there && one.dataset.mark !== undefined && one.dataset.mark !== mark(there)) await anew(one);
      if (there) continue;
      if (location.pathname === `/messages/${one.dataset.id}`) location.reload(); // the page says that it is gone
      without_moving(() => one.remove());
      waiting = waiting.filter((other) => other !== one);
    }
  }
  count();
}
const mark = (one) => [one.message.version, one.replies, ...one.reactions.map((each) => each.emoji + each.count + (each.mine ? "+" : ""))].join(" ");

async function anew(article) {
  const found = await getPage(`/messages/${article.dataset.id}`).catch(() => document);
  const fresh = $(`#${article.id}`, found);
  if (fresh && found !== document) put(article, fresh);
}
/* In its place, with the focus where it was; unless somebody is at work in it. */
function put(old, one) {
  const focus = old.contains(document.activeElement) && (document.activeElement.id || "nothing");
  if (focus === "nothing" || $("details[open]", old)) return;
  const fresh = document.adoptNode(one);
  waiting = waiting.map((other) => (other === old ? fresh : other));
  without_moving(() => old.replaceWith(fresh));
  htmx.process(fresh);
  if (focus) (document.getElementById(focus) || fresh).focus({ preventScroll: true });
}
/* Lists of people and of what happened, from their top on. */
async function renew(concerns) {
  const part = $("#people, #notifications, #stand");
  if (!part || !concerns.has(part.id === "notifications" ? "notifications" : "friends")) return;
  const fresh = $(`#${part.id}`, await getPage(location.href)); // meanwhile somebody may have begun something there
  if (!part.isConnected || part.contains(document.activeElement) || $("details[open], .htmx-request", part) || scrollY > 80) return;
  if (fresh && fresh.innerHTML !== part.innerHTML) { part.replaceWith(document.adoptNode(fresh)); htmx.process(fresh); }
}
/* One look at a time; what is told meanwhile makes for another. */
let [looking, again] = [false, null];
const both = (one, other) => (one ? { changed: [...one.changed, ...other.changed], resync: one.resync || other.resync } : other);
async function look(heard) {
  if (looking) { again = both(again, heard); return; }
  looking = true;
  try {
    const concerns = new Set(heard.resync ? ["timeline", "replies", "reactions", "friends", "notifications"] : heard.changed);
    const top = live === "timeline" && !location.search; // is read again as a whole
    if (heard.resync && !items) await get("/v1/users/me");
    if (concerns.has("notifications") && !heard.resync) newsDot($("#way-notifications"));
    if (!top && (concerns.size > 1 || !concerns.has("notifications"))) await recheck();
    if (live === "feed" && (concerns.has("timeline") || concerns.has("friends"))) await newerFeed();
    if (top && (concerns.has("timeline") || concerns.has("friends"))) await newerTimeline();
    if (live === "replies" && concerns.has("replies")) await newerReplies();
    await renew(concerns);
    away("");
  } catch (error) {
    away(error.missing || words.away);
    again = both(again, heard);
    await new Promise((done) => setTimeout(done, 3000));
  } finally {
    looking = false;
    const next = again;
    again = null;
    if (next) look(next);
  }
}
/* A page that lacks something says so in its own words. */
const lack = (page) => $(".missing[role=status]:not(#away)", page);
function whole(page) { if ($("#missing", page)) throw Object.assign(new Error("missing"), { missing: $("#missing", page).textContent }); }
/* In plain words, and only while it is so. */
function away(text) {
  const line = $("#away") || made("p", { id: "away", className: "missing", role: "status" });
  if (line.textContent === text) return;
  line.textContent = text;
  without_moving(() => (text ? $("#main").prepend(line) : line.remove()));
}
// What a page lacked when it was made is there after a while: then the page is made again, unless somebody has written on it.
let typed = false;
for (const name of ["input", "change"]) document.addEventListener(name, () => { typed = true; });
setInterval(async () => {
  const found = lack(document) && await getPage(location.href).catch(() => null);
  if (found && !lack(found)) if (typed || document.activeElement?.closest("form")) lack(document)?.remove(); else location.reload();
}, 5000);

function newsDot(way) {
  if ($(".dot", way)) return;
  way.append(made("b", { className: "dot" }));
  $(".dot", way).append(made("span", { className: "hear", textContent: words.unread }));
}
document.addEventListener("tidings:changed", (event) => look(event.detail));
// A picture that did not come is asked for again, until it does.
function pictured(image) {
  if (!image.matches?.(".picture img:not(.blur)") || !image.complete) return;
  const told = $(".gone", image.parentNode);
  if (image.naturalWidth) { told?.remove(); return; }
  if (!told) image.after(made("span", { className: "gone", textContent: words.picture }));
  setTimeout(() => { if (image.isConnected) image.src = image.src; }, 5000);
}
for (const name of ["load", "error"]) document.addEventListener(name, (event) => pictured(event.target), true);
$$("img").forEach(pictured);
