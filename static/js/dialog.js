// Dialogs. The server answers with `<dialog open data-modal>`, which reads as a part of its page without JavaScript;
// here it is shown over the page, wherever it came from. A link `data-close` in it closes it: on a page of its own
// (`#dialog` is not around it) by going where it leads. And the menus of rows.
(() => {
  const show = () => {
    for (const dialog of document.querySelectorAll('dialog[data-modal][open]:not(:modal)')) {
      dialog.open = false;
      dialog.showModal();
      const heading = dialog.querySelector('[data-focus]');
      heading?.removeAttribute('data-focus');
      (dialog.querySelector('[aria-invalid="true"]') ?? heading)?.focus();
    }
  };

  // What goes wrong is told at the top of the page, which an open dialog covers.
  const told = () => {
    const words = document.getElementById('trouble');
    const place = document.querySelector('dialog:modal .trouble');
    if (!words || !place) return;
    place.replaceChildren(...[...words.childNodes].map((node) => node.cloneNode(true)));
    place.classList.toggle('notice', place.textContent.trim() !== '' && !place.querySelector('.notice'));
  };

  const leave = (dialog) => {
    const link = dialog.querySelector('a[data-close]');
    if (dialog.closest('#dialog')) dialog.remove(); // its focus goes back to who had it
    else if (link) link.click();
  };

  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('dialog:modal a[data-close]');
    if (!link?.closest('#dialog') || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    const dialog = link.closest('dialog');
    dialog.close();
    dialog.remove();
  }, true);

  // Escape. The event does not bubble.
  document.addEventListener('cancel', (event) => {
    if (!event.target.matches?.('dialog[data-modal]')) return;
    event.preventDefault();
    const dialog = event.target;
    dialog.close();
    leave(dialog);
  }, true);

  // An answer that was not meant for the dialog itself: its question is answered.
  document.addEventListener('htmx:after:swap', (event) => {
    const {sourceElement, target, response} = event.detail.ctx;
    const dialog = sourceElement?.closest?.('dialog:modal');
    if (!dialog || dialog.contains(target) || response?.status >= 400) return;
    dialog.close();
    dialog.remove();
  });

  // A menu (`details.menu`) closes by a click beside it, or on what is in it, and by Escape.
  document.addEventListener('click', (event) => {
    for (const menu of document.querySelectorAll('details.menu[open]')) {
      if (menu.contains(event.target)) {
        if (event.target.closest('summary')) continue;
        menu.querySelector('summary').focus(); // so that what opens now gives the focus back to something to be seen
      }
      menu.open = false;
    }
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    const menu = event.target.closest?.('details.menu[open]');
    if (!menu) return;
    menu.open = false;
    menu.querySelector('summary').focus();
  });

  for (const news of ['htmx:after:swap', 'htmx:error', 'htmx:response:error']) {
    document.addEventListener(news, () => { show(); setTimeout(told); }); // after frame.js, which says the words
  }
  document.addEventListener('told', told);
  document.addEventListener('DOMContentLoaded', show);
  show();
})();
