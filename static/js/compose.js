// The compose page: what is typed is saved by itself, survives a lost network, a session that ended and a reload, and is
// never taken away by an answer. The text's own editor is editor.js.
// The page may come by a swap, so that everything listens on the document and looks its form up.
(() => {
  const QUIET_MS = 900; // without a key: then it is saved
  const LONGEST_MS = 5000; // of typing without a pause
  const TEST_AGAIN_MS = 2500;
  const RETRY_MS = [2000, 4000, 8000, 15000, 30000];
  const ANSWER_MS = 20_000; // a save without an answer has not got through: the next must not wait for it
  const NOT_TYPED = ['page', 'turn', 'version', 'do', 'over', 'anew', 'person', 'person_phone'];
  const ASIDE = ['person', 'person_phone', 'phones', 'try']; // changes nothing of the draft

  let open; // {form, edits, saved, since, timer, saving, heard, failures, stopped, sent, pressed}
  const byItself = () => open.form.dataset.keep === 'by-itself';
  const field = (name) => open.form.elements.namedItem(name);
  const isDirty = () => open.edits !== open.saved;
  const isShown = (page) => page === open && page.form.isConnected; // not left meanwhile

  // What the browser keeps, in case nothing else does.
  const typed = () => [...new FormData(open.form)].filter(([name]) => !NOT_TYPED.includes(name));
  const remember = () => {
    try {
      localStorage.setItem(open.form.dataset.store, JSON.stringify({version: field('version').value, typed: typed()}));
    } catch { /* a browser that gives a framed site no storage */ }
  };
  const recall = (store) => {
    try { return JSON.parse(localStorage.getItem(store)); } catch { return null; }
  };
  const forget = (store) => {
    try { localStorage.removeItem(store); } catch { /* as above */ }
  };
  const bringBack = (kept) => {
    for (const control of open.form.elements) {
      if (!control.name || NOT_TYPED.includes(control.name) || control.type === 'hidden') continue;
      const values = kept.typed.filter(([name]) => name === control.name).map(([, value]) => value);
      if (control.type === 'radio' || control.type === 'checkbox') control.checked = values.includes(control.value);
      else if (values.length) control.value = values[0];
    }
  };

  const say = (words, trouble = false) => {
    const place = document.querySelector('#kept [data-kept]');
    if (!place) return;
    place.textContent = words;
    place.classList.toggle('fault', trouble);
  };
  const bar = (on) => {
    const deed = window.shopify?.saveBar?.[on ? 'show' : 'hide']?.('compose-bar');
    deed?.catch?.(() => {});
  };
  const look = () => htmx.trigger(document.getElementById('look'), 'look');

  const begin = () => {
    const form = document.getElementById('compose');
    if (!form || open?.form === form) return;
    clearTimeout(open?.timer);
    open = {form, edits: 0, saved: 0, since: 0, timer: 0, saving: false, heard: 0, failures: 0, stopped: false};
    open.stopped = Boolean(form.querySelector('[data-stop]'));
    const kept = recall(form.dataset.store);
    if (!kept || JSON.stringify(kept.typed) === JSON.stringify(typed())) {
      forget(form.dataset.store);
    } else if (kept.version === field('version').value) { // nobody changed it since: it goes on where it stopped
      bringBack(kept);
      changed();
      look();
      say(form.dataset.restored);
    } else {
      document.getElementById('restore').hidden = false;
    }
  };

  // For who looks at the page from outside.
  const mark = () => open.form.toggleAttribute('data-dirty', isDirty());

  const changed = () => {
    open.edits += 1;
    mark();
    remember();
    if (!byItself()) {
      say(open.form.dataset.unsaved);
      bar(true);
    } else if (!open.stopped) {
      const now = performance.now();
      open.since ||= now;
      later(Math.max(0, Math.min(QUIET_MS, open.since + LONGEST_MS - now)));
    }
  };
  const later = (ms) => {
    clearTimeout(open.timer);
    open.timer = setTimeout(save, ms);
  };

  const turnNow = () => Number(field('turn').value || 0);
  const nextTurn = () => {
    field('turn').value = turnNow() + 1;
    open.sent = typed();
    return open.edits;
  };

  // Discard goes back to what is saved. Nothing that is shown changes: of a list, a new default would.
  const saveAsDefaults = (form, sent) => {
    for (const control of form.elements) {
      if (!control.name || NOT_TYPED.includes(control.name) || control.matches(':disabled, [type=hidden]')) continue;
      const values = sent.filter(([name]) => name === control.name).map(([, value]) => value);
      if (control.type === 'radio' || control.type === 'checkbox') {
        const now = control.checked;
        control.defaultChecked = values.includes(control.value);
        control.checked = now;
      } else if (values.length) {
        const now = control.value;
        if (control.options) for (const option of control.options) option.defaultSelected = option.value === values[0];
        else control.defaultValue = values[0];
        control.value = now;
      }
    }
  };

  // Rejects when nothing comes: also where the admin, without a network, gives no session token and does not say so.
  const answerTo = (address, options) => {
    const over = new AbortController();
    let timer;
    const nothing = new Promise((_, reject) => {
      timer = setTimeout(() => { over.abort(); reject(new Error('no answer')); }, ANSWER_MS);
    });
    return Promise.race([fetch(address, {...options, signal: over.signal}), nothing]).finally(() => clearTimeout(timer));
  };

  const save = async () => {
    if (!open || open.saving || open.stopped || !byItself() || !isDirty()) return;
    const page = open;
    page.saving = true;
    page.since = 0;
    const edits = nextTurn();
    const {sent} = open;
    const turn = turnNow();
    const given = new URLSearchParams(new FormData(page.form));
    say(page.form.dataset.saving);
    let response;
    try {
      response = await answerTo(page.form.getAttribute('action'), {
        method: 'POST',
        body: given,
        keepalive: String(given).length < 60_000,
        headers: {'HX-Request': 'true', 'HX-Request-Type': 'partial', 'Blossom-Locale': document.documentElement.lang},
      });
    } catch { /* away */ }
    page.saving = false;
    const isTold = response && (response.ok || [404, 409, 422].includes(response.status));
    if (isTold && await took(page, response, edits, turn, sent)) {
      page.failures = 0;
      if (isShown(page) && isDirty() && response.ok) later(QUIET_MS);
      return;
    }
    if (!isShown(page)) return; // another page is shown; this device keeps what was typed
    bar(true);
    if (response && response.status !== 401 && response.status < 500) { // no right to any more, say: the same comes again
      say(page.form.dataset.refused, true);
      return;
    }
    say(page.form.dataset[response?.status === 401 ? 'session' : 'away'], true);
    later(RETRY_MS[Math.min(page.failures, RETRY_MS.length - 1)]);
    page.failures += 1;
  };

  // The answer to a save: how the form stands in the database. False: it is something else. Its element stays: the answer
  // to a button that is pressed meanwhile is to go there. And what a later turn has told is newer.
  const took = async (page, response, edits, turn, sent) => {
    const answer = document.createElement('template');
    answer.innerHTML = await response.text();
    const kept = answer.content.querySelector('#kept');
    if (!kept) return false;
    if (turn < page.heard) return true;
    page.heard = turn;
    if (isShown(page)) {
      const place = document.getElementById('kept');
      place.dataset.state = kept.dataset.state;
      place.replaceChildren(...kept.cloneNode(true).childNodes);
      htmx.process(place);
    }
    stands(page, kept, response.headers, edits, sent);
    return true;
  };

  const stands = (page, kept, headers, edits, sent) => {
    page.stopped = Boolean(kept.querySelector('[data-stop]'));
    if (!['saved', 'unfit'].includes(kept.dataset.state)) {
      bar(true);
      return;
    }
    page.saved = edits;
    saveAsDefaults(page.form, sent);
    if (isShown(page)) mark();
    const address = headers.get('HX-Replace-Url');
    if (isShown(page) && address && page.form.getAttribute('action') !== address) { // it has just been begun
      history.replaceState(history.state, '', address);
      forget(page.form.dataset.store);
      page.form.dataset.store = page.form.dataset.store.replace(/[^:]+$/, address.split('/').at(-2));
      page.form.setAttribute('action', address);
      page.form.setAttribute('hx-post', address);
    }
    if (page.edits === edits) {
      forget(page.form.dataset.store);
      if (isShown(page)) bar(false);
    } else if (isShown(page)) {
      remember();
    }
  };

  document.addEventListener('input', (event) => {
    begin();
    if (open && open.form.contains(event.target) && event.target.name && !ASIDE.includes(event.target.name)) changed();
  });
  document.addEventListener('reset', (event) => {
    if (event.target !== open?.form) return;
    open.saved = open.edits;
    mark();
    forget(open.form.dataset.store);
    bar(false);
    setTimeout(look); // once the fields have gone back
  });

  // A press of a button goes by htmx; it carries a turn of its own, and what is typed afterwards is still unsaved.
  document.addEventListener('submit', (event) => {
    begin();
    if (event.target !== open?.form) return;
    clearTimeout(open.timer);
    open.pressed = {edits: nextTurn(), turn: turnNow(), sent: open.sent};
    const button = event.submitter;
    if (button?.value === 'test') { // a test costs: two clicks are one
      setTimeout(() => { button.disabled = true; });
      setTimeout(() => { button.disabled = false; }, TEST_AGAIN_MS);
    }
  }, true);
  document.addEventListener('htmx:after:swap', (event) => {
    begin();
    const {ctx} = event.detail;
    if (!open || ctx?.sourceElement !== open.form) return;
    const {headers} = ctx.response;
    if (!headers.get('Blossom-Kept')) return; // of something else than of saving
    const kept = document.getElementById('kept');
    open.heard = open.pressed.turn;
    stands(open, kept, headers, open.pressed.edits, open.pressed.sent);
    kept.querySelector('[data-stop], [data-refused]')?.focus();
  });
  document.addEventListener('htmx:error', (event) => {
    if (open && event.detail.ctx?.sourceElement === open.form && isDirty()) later(RETRY_MS[0]);
  });
  // Everything is saved, and sound: the question with all its numbers.
  document.addEventListener('review', (event) => {
    const dialog = document.getElementById('dialog');
    const to = dialog ? {target: '#dialog', swap: 'innerHTML'} : {target: 'body', swap: 'innerHTML', push: 'true'};
    htmx.ajax('GET', event.detail.address, to);
  });

  // What is shown beside the text must not pass for what the text says now: who could not look says so, and tries again.
  let lookAgain;
  const stale = (on) => document.getElementById('compose')?.toggleAttribute('data-stale', on);
  const missed = (event) => {
    const {ctx} = event.detail;
    if (ctx?.sourceElement?.id !== 'look' || event.detail.error?.name === 'AbortError') return;
    stale(true);
    clearTimeout(lookAgain);
    lookAgain = setTimeout(look, RETRY_MS[1]);
  };
  document.addEventListener('htmx:error', missed);
  document.addEventListener('htmx:response:error', missed);
  document.addEventListener('htmx:after:swap', (event) => {
    const {ctx} = event.detail;
    if (ctx?.sourceElement?.id !== 'look' || !(ctx.response?.status < 400)) return;
    stale(false);
    clearTimeout(lookAgain);
  });

  // Who leaves, or looks elsewhere, leaves nothing behind.
  const flush = () => { if (open && isDirty()) save(); };
  document.addEventListener('visibilitychange', () => { if (document.hidden) flush(); });
  window.addEventListener('pagehide', flush);
  window.addEventListener('online', flush);
  document.addEventListener('htmx:before:request', (event) => {
    const from = event.detail.ctx?.sourceElement;
    if (open && from && !open.form.contains(from) && from.id !== 'look') flush();
  });

  document.addEventListener('click', (event) => {
    begin();
    const button = event.target.closest?.('[data-do]');
    if (!open?.form.contains(button)) return;
    if (button.dataset.do === 'bring-back') {
      bringBack(recall(open.form.dataset.store));
      document.getElementById('restore').hidden = true;
      changed();
      look();
    } else if (button.dataset.do === 'throw-away') {
      document.getElementById('restore').hidden = true;
      open.saved = open.edits;
      mark();
      clearTimeout(open.timer);
      forget(open.form.dataset.store);
      bar(false);
    }
  });

  document.addEventListener('DOMContentLoaded', begin);
  begin();
})();
