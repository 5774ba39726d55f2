// Every page works without this file: it only makes them livelier. No part of it makes HTML of what people wrote.
"use strict";
const words = JSON.parse(document.body.dataset.words || "{}");
const me = document.body.dataset.me;
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const say = (text) => { $("#said").textContent = text; };
const later = (wait, act) => { let timer; return () => { clearTimeout(timer); timer = setTimeout(act, wait); }; };
const calm = later(10000, () => { $("#said").className = "hear"; say(""); });
const fail = (text) => { $("#said").className = "toast"; say(text || $("#said").dataset.failed); calm(); };
const made = (tag, more) => Object.assign(document.createElement(tag), more);
let [seen, leaving] = ["", false];
addEventListener("beforeunload", () => { leaving = true; setTimeout(() => { leaving = false; }, 5000); }); // or saves a file

/* GET something of this server. Whoever is signed out by now, or may not see this page any more, is shown so. */
async function get(path) {
  const answer = await fetch(path, { headers: seen ? { "Tidings-Seen": seen } : {}, credentials: "same-origin" });
  const gone = answer.status === 401 || (new URL(path, location).pathname === location.pathname && answer.status === 404) || (answer.redirected && new URL(answer.url).pathname === "/signin");
  if (gone && !leaving) location.reload();
  if (!answer.ok) throw Object.assign(new Error(`${path}: ${answer.status}`), { missing: answer.status === 503 && path.startsWith("/v1/messages") && words.messages });
  return answer;
}
const parsed = (html) => new DOMParser().parseFromString(html, "text/html");
const getPage = async (path) => parsed(await (await get(path)).text());

/* Put things above what is being read, and leave that where it is. */
function without_moving(act) {
  const anchor = $$(".message").find((one) => one.getBoundingClientRect().bottom > 0);
  const before = anchor && anchor.getBoundingClientRect().top;
  document.documentElement.style.overflowAnchor = "none";
  act();
  if (anchor && anchor.isConnected) scrollBy({ top: anchor.getBoundingClientRect().top - before, behavior: "instant" });
  document.documentElement.style.overflowAnchor = "";
}
