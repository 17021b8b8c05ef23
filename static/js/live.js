// Where a proxy holds back event streams, or they break: ask for the live part every few seconds instead.
// As soon as an event comes through, asking stops; so it does when the part says that nothing more will change.
(() => {
  const QUIET_MS = 8000;
  const EVERY_MS = 4000;

  const live = document.querySelector('[data-poll]');
  if (!live) return;

  const target = live.getAttribute('hx-target');
  let heardAt = performance.now();
  document.addEventListener('htmx:sse:after:message', () => { heardAt = performance.now(); });

  const timer = setInterval(() => {
    if (document.querySelector(`${target}[data-settled]`)) {
      clearInterval(timer);
    } else if (!document.hidden && performance.now() - heardAt > QUIET_MS) {
      htmx.ajax('GET', live.dataset.poll, {target, swap: 'outerMorph'});
    }
  }, EVERY_MS);
})();
