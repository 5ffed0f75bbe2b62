// What pages do beyond HTML: a PIN's countdown, times as their reader tells them, lists that stay fresh.
// Not for anything that a form does: every page works without it.
"use strict";

const localTimes = (root) => {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
};

// [data-fresh=URL]: asked for again now and then; what the element of the same id says there takes its place.
const keepFresh = (element) => {
  let was = null;
  setInterval(async () => {
    if (document.hidden || element.contains(document.activeElement)) return;
    const answer = await fetch(element.dataset.fresh).catch(() => null);
    if (answer?.redirected) return location.reload(); // signed out meanwhile
    if (!answer?.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(element.id);
    if (next === null || next.innerHTML === was) return;
    was = next.innerHTML;
    localTimes(next);
    element.replaceChildren(...next.childNodes);
  }, 3000);
};

// [data-until=S] [data-now=S]: seconds by the server's clock; only their difference counts here.
const countDown = (element) => {
  const whole = (element.dataset.until - element.dataset.now) * 1000;
  const end = performance.now() + whole;
  const words = element.querySelector(".countdown");
  const meter = document.createElement("progress");
  meter.className = "meter";
  meter.max = whole;
  meter.setAttribute("aria-label", "Time left");
  element.querySelector(".meter").replaceWith(meter);
  const tick = () => {
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    meter.value = left * 1000;
    const [hours, minutes, seconds] = [left / 3600, (left / 60) % 60, left % 60].map(Math.floor);
    const clock = `${hours ? `${hours}:${String(minutes).padStart(2, "0")}` : minutes}:${String(seconds).padStart(2, "0")}`;
    words.textContent = left ? `Good once, for ${clock}` : "It is not good any more. Issue another.";
    if (left === 0) forget(element);
  };
  const forget = () => {
    clearInterval(ticking);
    element.querySelector(".pin")?.remove();
    meter.remove();
  };
  const ticking = setInterval(tick, 500);
  tick();
  addEventListener("pagehide", forget); // a page that is kept for going back shows no PIN again
};

localTimes(document);
document.querySelectorAll("[data-fresh]").forEach(keepFresh);
document.querySelectorAll("[data-until]").forEach(countDown);
