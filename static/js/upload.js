// A merchant's file goes in parts, one after the other: each has a session token of its own, and a line that breaks
// costs one part. Listened for on the document, since a link may have swapped the form in.
(() => {
  const AGAIN_MS = [1000, 3000, 8000];
  const going = new WeakMap(); // a form → where its file is on the way to, and how far

  const wait = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

  class Refused extends Error {}

  // Tried again where the line, or a server, was away; a refusal is one at once.
  const ask = async (address, options) => {
    const headers = {'HX-Request': 'true', 'Blossom-Locale': document.documentElement.lang};
    for (const pause of [...AGAIN_MS, null]) {
      try {
        const answer = await fetch(address, {...options, headers});
        if (answer.ok) return answer;
        if (answer.status < 500 && answer.status !== 401) throw new Refused(await answer.text());
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      if (pause !== null) await wait(pause);
    }
    throw new Error('not reached');
  };

  const say = (form, words) => {
    const input = form.querySelector('input[type=file]');
    form.querySelector('.fault').textContent = words;
    if (words) {
      input.setAttribute('aria-invalid', 'true');
      input.setAttribute('aria-describedby', 'file-hint file-fault');
      input.focus();
    } else {
      input.removeAttribute('aria-invalid');
    }
  };

  const show = (form, share) => {
    const percent = new Intl.NumberFormat(document.documentElement.lang, {style: 'percent'}).format(share);
    form.querySelector('.upload-progress').hidden = false;
    form.querySelector('progress').value = share * 100;
    const words = form.querySelector('[data-upload-words]');
    const told = form.dataset.progress.replace('{percent}', percent);
    if (words.textContent !== told) words.textContent = told;
  };

  const send = async (form, file) => {
    let way = going.get(form);
    if (!way || way.file !== file) {
      const announced = await ask(form.getAttribute('action'), {
        method: 'POST',
        body: new URLSearchParams({filename: file.name, size: file.size}),
      });
      way = {file, part: 0, ...await announced.json()};
      going.set(form, way);
    }
    for (; way.part * way.partBytes < file.size; way.part += 1) {
      show(form, (way.part * way.partBytes) / file.size);
      const body = file.slice(way.part * way.partBytes, (way.part + 1) * way.partBytes);
      await ask(`${way.address}/parts/${way.part + 1}`, {method: 'PUT', body});
    }
    show(form, 1);
    await htmx.ajax('POST', `${way.address}/received`, {target: '#import', swap: 'outerHTML'});
  };

  document.addEventListener('submit', async (event) => {
    const form = event.target.closest?.('form[data-upload]');
    if (!form) return;
    event.preventDefault();
    const button = form.querySelector('button');
    const file = form.querySelector('input[type=file]').files[0];
    if (button.disabled) return;
    if (!file) return say(form, form.dataset.nothing);
    if (!file.size) return say(form, form.dataset.empty);
    if (file.size > Number(form.dataset.mostBytes)) return say(form, form.dataset.tooLarge);
    say(form, '');
    button.disabled = true;
    try {
      await send(form, file);
    } catch (error) {
      if (error instanceof Refused) {
        going.delete(form);
        const words = new DOMParser().parseFromString(error.message, 'text/html').body.innerText;
        say(form, words.trim() || form.dataset.broken);
      } else {
        say(form, form.dataset.broken);
      }
    } finally {
      button.disabled = false;
    }
  });
})();
