// Where a proxy holds back event streams, or they break: ask for the live part every few seconds instead.
// As soon as an event comes through, asking stops; so it does when the part says that nothing more will change.
// The page may be swapped for another without being loaded, so what is live is looked up each time.
(() => {
  const QUIET_MS = 8000;
  const EVERY_MS = 4000;

  let heardAt = performance.now();
  for (const news of ['htmx:sse:after:message', 'htmx:after:history:update']) {
    document.addEventListener(news, () => { heardAt = performance.now(); });
  }

  setInterval(() => {
    const live = document.querySelector('[data-poll]');
    if (!live || document.hidden || performance.now() - heardAt <= QUIET_MS) return;
    const target = live.getAttribute('hx-target');
    if (!document.querySelector(`${target}[data-settled]`)) {
      htmx.ajax('GET', live.dataset.poll, {target, swap: 'outerMorph'});
    }
  }, EVERY_MS);
})();
