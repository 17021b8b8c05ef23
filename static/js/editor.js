// The editor of a text: variables, links, cures, templates, going to a fault. Wherever a page has texts, each in an
// element of its own (`data-editor`), and a preview that follows them (`#look`); they may come by a swap, so that
// everything listens on the document.
(() => {
  const areas = () => [...document.querySelectorAll('[data-editor] textarea')];
  const areaOf = (element) => element.closest('[data-editor]')?.querySelector('textarea') ?? areas()[0];
  const look = () => htmx.trigger(document.getElementById('look'), 'look');

  // `insertText` keeps the browser's own undo.
  const put = (area, words, all = false) => {
    area.focus();
    if (all) area.select();
    if (!document.execCommand('insertText', false, words)) {
      area.setRangeText(words, all ? 0 : area.selectionStart, all ? area.value.length : area.selectionEnd, 'end');
      area.dispatchEvent(new Event('input', {bubbles: true}));
    }
  };
  const place = (area, line, column) => {
    const lines = area.value.split('\n');
    const at = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    // Columns count characters, the field counts UTF-16 units.
    const before = [...(lines[line - 1] ?? '')].slice(0, column - 1).join('').length;
    const rest = area.value.slice(at + before);
    const piece = /^(\{\{.*?\}\}|\{%.*?%\}|\S+)/s.exec(rest)?.[0] ?? '';
    area.focus();
    area.setSelectionRange(at + before, at + before + piece.length);
  };
  const putLink = (area, form) => {
    const link = form.querySelector('input');
    const address = link.value.trim();
    const fits = /^https:\/\/[^\s"'{}<>\\]+$/.test(address);
    form.querySelector('.fault').hidden = fits;
    link.toggleAttribute('aria-invalid', !fits);
    if (fits) {
      link.closest('details').open = false;
      put(area, `{{ "${address}" | shortlink }}`);
      link.value = '';
    } else {
      link.focus();
    }
  };

  let asked = new Map(); // the texts, by their fields, of the preview that is on its way, and of the one that is shown
  let shown = new Map();
  let wanted; // a cure for which the preview is awaited: {area, name}
  document.addEventListener('htmx:config:request', (event) => {
    if (event.detail.ctx?.sourceElement?.id === 'look') asked = new Map(areas().map((area) => [area, area.value]));
  });
  document.addEventListener('htmx:after:swap', (event) => {
    if (event.detail.ctx?.sourceElement?.id !== 'look') return;
    shown = asked;
    if (!wanted) return;
    const {area, name} = wanted;
    const button = area.closest('[data-editor]')?.querySelector(`[data-cure-name="${name}"]`);
    wanted = undefined;
    if (button && shown.get(area) === area.value) put(area, button.dataset.cure, true);
  });

  document.addEventListener('click', (event) => {
    if (!areas().length || !document.getElementById('look')) return;
    const button = event.target.closest?.('[data-insert], [data-cure], [data-line], [data-go], [data-do="link"], [data-do="copy"]');
    if (!button || !document.getElementById('main').contains(button)) return;
    const named = button.hash && document.getElementById(button.hash.slice(1));
    const area = areas().includes(named) ? named : areaOf(button);
    const {insert, cure, cureName, line, column, do: deed, go} = button.dataset;
    if (insert) put(area, insert);
    if (cure !== undefined) {
      if ((shown.get(area) ?? area.defaultValue) === area.value) put(area, cure, true);
      else { // what it was worked out for has been typed over
        wanted = {area, name: cureName};
        look();
      }
    }
    if (line) {
      event.preventDefault();
      place(area, Number(line), Number(column));
    } else if (go !== undefined) {
      event.preventDefault();
      named?.focus();
      named?.scrollIntoView({block: 'center'});
    }
    if (deed === 'link') putLink(area, button.closest('.tool-form'));
    if (deed === 'copy') put(area, areas()[0].value, true);
  });
  document.addEventListener('change', (event) => {
    const chosen = event.target.closest?.('[data-do="template"]')?.selectedOptions?.[0];
    if (!chosen?.dataset.body) return;
    put(areaOf(event.target), chosen.dataset.body, true);
    event.target.value = '';
  });
})();
