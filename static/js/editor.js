// The editor of a text: variables, links, cures, templates, going to a fault. Wherever a page has a text (`#body`) and a
// preview that follows it (`#look`); it may come by a swap, so that everything listens on the document.
(() => {
  const body = () => document.getElementById('body');
  const look = () => htmx.trigger(document.getElementById('look'), 'look');

  // `insertText` keeps the browser's own undo.
  const put = (words, all = false) => {
    const area = body();
    area.focus();
    if (all) area.select();
    if (!document.execCommand('insertText', false, words)) {
      area.setRangeText(words, all ? 0 : area.selectionStart, all ? area.value.length : area.selectionEnd, 'end');
      area.dispatchEvent(new Event('input', {bubbles: true}));
    }
  };
  const place = (line, column) => {
    const area = body();
    const lines = area.value.split('\n');
    const at = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    // Columns count characters, the field counts UTF-16 units.
    const before = [...(lines[line - 1] ?? '')].slice(0, column - 1).join('').length;
    const rest = area.value.slice(at + before);
    const piece = /^(\{\{.*?\}\}|\{%.*?%\}|\S+)/s.exec(rest)?.[0] ?? '';
    area.focus();
    area.setSelectionRange(at + before, at + before + piece.length);
  };
  const putLink = () => {
    const link = document.getElementById('link');
    const address = link.value.trim();
    const fits = /^https:\/\/[^\s"'{}<>\\]+$/.test(address);
    document.getElementById('link-fault').hidden = fits;
    link.toggleAttribute('aria-invalid', !fits);
    if (fits) {
      link.closest('details').open = false;
      put(`{{ "${address}" | shortlink }}`);
      link.value = '';
    } else {
      link.focus();
    }
  };

  let asked; // the text of the preview that is on its way, and of the one that is shown
  let shown;
  let wanted;
  document.addEventListener('htmx:config:request', (event) => {
    if (event.detail.ctx?.sourceElement?.id === 'look') asked = body()?.value;
  });
  document.addEventListener('htmx:after:swap', (event) => {
    if (event.detail.ctx?.sourceElement?.id !== 'look') return;
    shown = asked;
    const button = wanted && document.querySelector(`[data-cure-name="${wanted}"]`);
    wanted = undefined;
    if (button && shown === body().value) put(button.dataset.cure, true);
  });

  document.addEventListener('click', (event) => {
    if (!body() || !document.getElementById('look')) return;
    const button = event.target.closest?.('[data-insert], [data-cure], [data-line], [data-go], [data-do="link"]');
    if (!button || !document.getElementById('main').contains(button)) return;
    const {insert, cure, cureName, line, column, do: deed, go} = button.dataset;
    if (insert) put(insert);
    if (cure !== undefined) {
      if ((shown ?? body().defaultValue) === body().value) put(cure, true);
      else { // what it was worked out for has been typed over
        wanted = cureName;
        look();
      }
    }
    if (line) {
      event.preventDefault();
      place(Number(line), Number(column));
    } else if (go !== undefined) {
      event.preventDefault();
      const target = document.getElementById(button.hash.slice(1));
      target?.focus();
      target?.scrollIntoView({block: 'center'});
    }
    if (deed === 'link') putLink();
  });
  document.addEventListener('change', (event) => {
    const chosen = event.target.closest?.('[data-do="template"]')?.selectedOptions?.[0];
    if (!chosen?.dataset.body) return;
    put(chosen.dataset.body, true);
    event.target.value = '';
  });
})();
