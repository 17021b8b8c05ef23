// A stand-in of Shopify's App Bridge, by its documented behaviour: session tokens put into fetch, one further try when
// the app says that a token is stale, `shopify-reload`, the app's menu, toast, modal, save bar and loading.
(() => {
  const apiKey = document.querySelector('meta[name="shopify-api-key"]')?.content;
  if (!apiKey) throw new Error('App Bridge: there is no <meta name="shopify-api-key"> before this script');
  if (document.querySelector('script') !== document.currentScript) throw new Error('App Bridge: must be the first script');

  const KEPT_MS = 50_000; // as the real one, it asks for a new token when the old one is about to end
  const admin = new URL(document.currentScript.src).origin;
  const query = new URLSearchParams(location.search);
  const remembered = (name) => {
    try {
      const value = query.get(name) ?? sessionStorage.getItem(`app-bridge-${name}`);
      if (value) sessionStorage.setItem(`app-bridge-${name}`, value);
      return value ?? undefined;
    } catch { // a browser that gives a framed site no storage
      return query.get(name) ?? undefined;
    }
  };
  const config = {apiKey, shop: remembered('shop'), host: remembered('host'), locale: remembered('locale') ?? 'en'};

  if (window.top === window) { // not framed: the admin is where the app is shown
    if (config.shop) location.replace(`${admin}/store/${config.shop.split('.')[0]}/apps/${apiKey}${location.pathname}`);
    return;
  }

  const tell = (kind, message = {}) => window.parent.postMessage({standIn: true, kind, ...message}, admin);
  const waiting = new Map();
  let asked = 0;
  let token;
  let tokenAt = -Infinity;

  const newToken = () => new Promise((resolve, reject) => {
    asked += 1;
    waiting.set(asked, {resolve, reject});
    tell('id-token', {id: asked});
  });
  const idToken = async (fresh = false) => {
    if (fresh || performance.now() - tokenAt > KEPT_MS) {
      token = await newToken();
      tokenAt = performance.now();
    }
    return token;
  };

  // A page that only fetches a new token: it is left for the page that it names.
  const reload = query.get('shopify-reload');
  if (reload) {
    idToken(true).then((fresh) => {
      const address = new URL(reload, location.origin);
      const given = {id_token: fresh, embedded: '1', shop: config.shop, host: config.host};
      for (const [name, value] of Object.entries(given)) if (value) address.searchParams.set(name, value);
      location.replace(address);
    });
  }

  const plainFetch = window.fetch.bind(window);
  window.fetch = async (resource, options) => {
    const first = new Request(resource, options);
    if (new URL(first.url).origin !== location.origin || first.headers.has('Authorization')) return plainFetch(first);
    const again = first.clone();
    first.headers.set('Authorization', `Bearer ${await idToken()}`);
    let response = await plainFetch(first);
    if (response.status === 401 && response.headers.get('X-Shopify-Retry-Invalid-Session-Request')) {
      again.headers.set('Authorization', `Bearer ${await idToken(true)}`);
      response = await plainFetch(again);
    }
    const leaving = response.headers.get('X-Shopify-API-Request-Failure-Reauthorize-Url');
    if (response.headers.get('X-Shopify-API-Request-Failure-Reauthorize') && leaving) {
      tell('open', {url: new URL(leaving, location.origin).href});
    }
    return response;
  };

  const menu = () => [...document.querySelectorAll('s-app-nav a')];
  let drawn = '';
  const draw = () => {
    const links = menu().map((link) => ({
      href: link.getAttribute('href'),
      label: link.textContent.trim(),
      current: link.pathname === location.pathname,
    }));
    const now = JSON.stringify(links);
    if (now === drawn) return;
    drawn = now;
    tell('menu', {links});
  };
  // A page's address in the admin's bar: without what the admin itself adds when it loads a page.
  const ADDED = ['embedded', 'hmac', 'host', 'id_token', 'locale', 'session', 'shop', 'timestamp'];
  const ownPath = () => {
    const own = new URLSearchParams(location.search);
    for (const name of ADDED) own.delete(name);
    return location.pathname + (own.size ? `?${own}` : '');
  };
  let at;
  const look = () => {
    const path = ownPath();
    if (!reload && path !== at) { at = path; tell('location', {path}); }
    draw();
  };
  new MutationObserver(look).observe(document.documentElement, {childList: true, subtree: true});
  document.addEventListener('DOMContentLoaded', look);

  let changed = null;
  const watched = (target) => target?.closest?.('form[data-save-bar]');
  const setChanged = (form) => { changed = form; tell('save-bar', {on: Boolean(form)}); };
  document.addEventListener('input', (event) => { if (watched(event.target)) setChanged(watched(event.target)); });
  for (const end of ['submit', 'reset']) {
    document.addEventListener(end, (event) => { if (watched(event.target)) setChanged(null); });
  }

  let modal = null;
  const heard = {
    'id-token'({id, token: given}) {
      const {resolve, reject} = waiting.get(id) ?? {};
      waiting.delete(id);
      if (given) resolve?.(given);
      else reject?.(new Error('App Bridge: the admin gave no session token'));
    },
    navigate({href}) {
      const link = menu().find((each) => each.getAttribute('href') === href);
      if (link?.dispatchEvent(new CustomEvent('shopify:navigate', {bubbles: true, cancelable: true}))) link.click();
    },
    save() { changed?.requestSubmit(); },
    discard() { changed?.reset(); },
    'modal-button'({number}) { modal?.querySelectorAll('button, s-button')[number]?.click(); },
    'modal-closed'() { modal?.dispatchEvent(new Event('hide')); modal = null; },
  };
  window.addEventListener('message', (event) => {
    if (event.source !== window.parent || event.origin !== admin || !event.data?.standIn) return;
    heard[event.data.kind]?.(event.data);
  });

  window.shopify = {
    config,
    ready: Promise.resolve(),
    environment: {embedded: true, mobile: false, pos: false},
    idToken: () => idToken(),
    loading(on = true) { tell('loading', {on}); },
    toast: {show(words) { tell('toast', {words}); }, hide() { tell('toast', {words: ''}); }},
    saveBar: {
      async show(id) { setChanged(document.getElementById(id)?.closest('form') ?? document.body); },
      async hide() { setChanged(null); },
    },
    modal: {
      async show(id) {
        modal = document.getElementById(id);
        const buttons = [...modal.querySelectorAll('button, s-button')];
        const body = modal.cloneNode(true);
        body.querySelectorAll('button, s-button').forEach((button) => button.remove());
        tell('modal', {
          on: true,
          heading: modal.getAttribute('heading') ?? '',
          body: body.textContent.trim(),
          buttons: buttons.map((button) => button.textContent.trim()),
        });
      },
      async hide() { tell('modal', {on: false}); },
    },
  };
})();
