// Inside the Shopify admin: what App Bridge tells us, and what a person hears when a fetch was refused.
(() => {
  // What speaks of one request only stays in no address, no history and no Referer (admin/rules.py:PASSING).
  const PASSING = ['id_token', 'hmac', 'timestamp', 'session', 'signature', 'bounced'];

  const bare = new URL(location.href);
  PASSING.forEach((name) => bare.searchParams.delete(name));
  if (bare.href !== location.href) history.replaceState(history.state, '', bare.href);

  // A click in the admin's menu: the page is fetched, so that it carries the session, and nothing is loaded anew.
  document.addEventListener('shopify:navigate', (event) => {
    const address = event.target.getAttribute('href');
    if (!address) return;
    event.preventDefault(); // else it would be followed a second time, by a load
    htmx.ajax('GET', address, {target: 'body', swap: 'innerHTML', push: 'true'});
  });

  // The words stand in the page (ui/layout.html), in its language: `kind` names them. Without one, they are taken away.
  let said = '';
  const say = (kind = '') => {
    said = kind;
    const place = document.getElementById('trouble');
    if (!place) return;
    const words = kind ? place.dataset[kind] : '';
    place.textContent = words;
    place.className = words ? 'notice' : '';
    if (words) place.scrollIntoView({block: 'nearest'});
    document.dispatchEvent(new Event('told'));
    if (kind === 'away') lookLater();
  };

  // That we could not be reached is true until an answer comes, be it to what nobody asked for. A page that asks nothing
  // by itself looks whether one does.
  const BACK_MS = 4000;
  const SELF = document.currentScript.src;
  let looking;
  const lookLater = () => {
    clearTimeout(looking);
    looking = setTimeout(lookWhetherBack, BACK_MS);
  };
  const back = () => { if (said === 'away') say(); };
  const lookWhetherBack = async () => {
    if (said !== 'away') return;
    try {
      await fetch(SELF, {method: 'HEAD', cache: 'no-store'});
      back();
    } catch {
      lookLater();
    }
  };
  for (const news of ['htmx:before:response', 'htmx:sse:after:message']) document.addEventListener(news, back);

  // What was typed is still unsaved: App Bridge, which hid its save bar when the form was sent, shows it again.
  const stillUnsaved = (form) => {
    if (form?.matches?.('form[data-save-bar]')) form.dispatchEvent(new Event('input', {bubbles: true}));
  };

  // Discard: the fields go back to what came with the page. With an answer that names faults came what was typed, so what
  // is saved is fetched.
  document.addEventListener('reset', (event) => {
    const form = event.target;
    if (!form.matches('form[data-save-bar]') || !form.querySelector('[role="alert"]')) return;
    htmx.ajax('GET', form.getAttribute('action'), {target: 'body', swap: 'innerHTML'});
  });

  // What the page asks by itself, every few seconds, is nobody's deed: it neither takes words away nor brings them.
  const byItself = (ctx) => ctx?.sourceElement?.matches?.('[data-by-itself]');

  document.addEventListener('htmx:before:request', (event) => { if (!byItself(event.detail.ctx)) say(); });
  document.addEventListener('htmx:response:error', (event) => {
    if (byItself(event.detail.ctx)) return;
    const {response: {status}, sourceElement} = event.detail.ctx;
    if (status !== 422) stillUnsaved(sourceElement);
    if (status === 401) {
      say('session');
    } else if (status >= 500) {
      say('server');
    }
  });
  document.addEventListener('htmx:error', (event) => {
    if (!event.detail.ctx?.response && !byItself(event.detail.ctx)) say('away');
  });

  // What has come in by a click and must be read next takes the focus; of a form with faults the first of them does.
  document.addEventListener('htmx:after:swap', (event) => {
    const status = event.detail.ctx.response?.status;
    if (status === 422) {
      const wrong = document.querySelector('[aria-invalid="true"]');
      stillUnsaved(wrong?.form);
      wrong?.focus();
    } else if (status >= 400) {
      document.getElementById('trouble')?.scrollIntoView({block: 'nearest'});
    } else {
      const next = document.querySelector('[data-focus]');
      next?.removeAttribute('data-focus'); // once: what is swapped beside it later, live parts say, leaves the focus be
      next?.focus();
    }
  });

  // A file: a link that the browser follows by itself carries no session, so it is fetched, and then saved.
  document.addEventListener('click', async (event) => {
    const link = event.target.closest?.('a[download]');
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    if (link.ariaBusy === 'true') return;
    say();
    link.ariaBusy = 'true';
    try {
      const response = await fetch(link.href, {headers: {'Blossom-Locale': document.documentElement.lang}});
      if (!response.ok) throw new Error(`status ${response.status}`);
      const saved = document.createElement('a');
      saved.href = URL.createObjectURL(await response.blob());
      saved.download = link.download;
      saved.click(); // it stands in no document, so this is not heard here again
      setTimeout(() => URL.revokeObjectURL(saved.href), 60_000);
    } catch {
      say('file');
    } finally {
      link.ariaBusy = null;
    }
  });

  // The server's word that something was done (HX-Trigger: {"toast": {"words": …}}).
  document.addEventListener('toast', (event) => { window.shopify?.toast?.show(event.detail.words); });
})();
