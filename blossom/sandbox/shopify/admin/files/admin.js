// The admin's side of App Bridge's stand-in: it answers what the framed app asks by postMessage, and nobody else.
(() => {
  const {base, origin} = document.body.dataset;
  const place = (id) => document.getElementById(id);
  const frame = () => place('app')?.contentWindow; // it stands below: whoever is in it finds this listening
  const tell = (message) => frame().postMessage({standIn: true, ...message}, origin);
  let unsaved = false;
  let toastTimer;

  const answers = {
    async 'id-token'({id}) {
      const response = await fetch(`${base}/id-token`, {method: 'POST'});
      const {id_token: token} = response.ok ? await response.json() : {};
      tell({kind: 'id-token', id, token});
    },
    menu({links}) {
      place('menu').replaceChildren(...links.map(({href, label, current}) => {
        const item = document.createElement('li');
        const link = document.createElement('a');
        Object.assign(link, {href: base + href, textContent: label});
        if (current) link.setAttribute('aria-current', 'page');
        link.addEventListener('click', (event) => {
          event.preventDefault();
          if (unsaved) say('Save or discard your changes first');
          else tell({kind: 'navigate', href});
        });
        item.append(link);
        return item;
      }));
    },
    location({path}) { history.replaceState(null, '', base + path); },
    open({url}) { window.location.assign(url); },
    toast({words}) { say(words); },
    loading({on}) { place('loading').textContent = on ? 'Loading…' : ''; },
    'save-bar'({on}) { unsaved = on; place('save-bar').hidden = !on; },
    modal({on, heading, body, buttons}) {
      const modal = place('modal');
      if (!on) { modal.close(); return; }
      modal.querySelector('h2').textContent = heading;
      modal.querySelector('div').textContent = body;
      modal.querySelector('footer').replaceChildren(...buttons.map((label, number) => {
        const button = document.createElement('button');
        Object.assign(button, {type: 'button', textContent: label});
        button.addEventListener('click', () => tell({kind: 'modal-button', number}));
        return button;
      }));
      modal.showModal();
    },
  };

  const say = (words) => {
    place('toast').textContent = words;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { place('toast').textContent = ''; }, 5000);
  };

  window.addEventListener('message', (event) => {
    if (event.source !== frame() || event.origin !== origin || !event.data?.standIn) return;
    answers[event.data.kind]?.(event.data);
  });
  place('save').addEventListener('click', () => tell({kind: 'save'}));
  place('discard').addEventListener('click', () => tell({kind: 'discard'}));
  place('modal').addEventListener('close', () => tell({kind: 'modal-closed'}));
})();
