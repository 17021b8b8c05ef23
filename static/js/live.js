// Live parts of pages, where event streams fail: held back by a proxy, broken, or asleep with the machine.
// An open stream is heard every few seconds, be it by an event that says only that it lives. When it has been silent for
// longer, its page asks for the live part itself, and now and then connects anew. As soon as an event comes through, asking stops; so
// it does when the part says that nothing more will change. A hidden page neither listens nor asks.
// The page may be swapped for another without being loaded, so what is live is looked up each time.
(() => {
  const QUIET_MS = 8000;
  const EVERY_MS = 4000;
  const AGAIN_MS = 15000;

  let heardAt = Date.now(); // the clock on the wall: the other one stands still while a machine sleeps
  let connection = null;
  let triedAt = Date.now();
  for (const news of ['htmx:sse:after:message', 'htmx:after:history:update']) {
    document.addEventListener(news, () => { heardAt = Date.now(); });
  }
  document.addEventListener('htmx:sse:after:connection', (event) => {
    connection = event.detail.connection;
    heardAt = Date.now();
  });
  document.addEventListener('htmx:sse:close', () => { connection = null; });

  setInterval(() => {
    const live = document.querySelector('[data-poll]');
    if (!live || document.hidden || Date.now() - heardAt <= QUIET_MS) return;
    const target = live.getAttribute('hx-target');
    if (document.querySelector(`${target}[data-settled]`)) return;
    if (connection) {
      connection.reader?.cancel(); // ends the reading of a stream that is dead, and the extension opens another
    } else if (Date.now() - triedAt > AGAIN_MS) { // it never came to be one, and then the extension gives up
      triedAt = Date.now();
      htmx.ajax('GET', live.getAttribute('hx-sse:connect'), {source: live});
    }
    htmx.ajax('GET', live.dataset.poll, {source: target, target, swap: 'outerMorph'});
  }, EVERY_MS);
})();

// A figure that could not be asked for anew does not pass for that of now: its place says so, and asks again until it is.
(() => {
  const AGAIN_MS = 4000;
  let again;
  const placeOf = (ctx) => (ctx?.target?.matches?.('[data-may-be-stale]') ? ctx.target : null);
  const stale = (place, on) => {
    place.toggleAttribute('data-stale', on);
    // Unhidden, the words are news to a screen reader.
    place.querySelector('.stale-note > span')?.toggleAttribute('hidden', !on);
  };
  const missed = (event) => {
    const place = placeOf(event.detail.ctx);
    if (!place || event.detail.error?.name === 'AbortError') return; // given up for one that asks of what stands there now
    // A look each second whether there is news is made again by itself, and what stands there is as right as before.
    if (event.detail.ctx.sourceElement?.getAttribute('hx-trigger')?.startsWith('every')) return;
    stale(place, true);
    clearTimeout(again);
    again = setTimeout(() => { if (place.isConnected) htmx.trigger(place, 'again'); }, AGAIN_MS);
  };
  document.addEventListener('htmx:error', missed);
  document.addEventListener('htmx:response:error', missed);
  document.addEventListener('htmx:after:swap', (event) => {
    const {ctx} = event.detail;
    const place = placeOf(ctx);
    const status = ctx.response?.status;
    if (!place || status === 204 || !(status < 400)) return; // 204: no news, so what stands there is what stood there
    clearTimeout(again);
    stale(place, false);
  });
})();
